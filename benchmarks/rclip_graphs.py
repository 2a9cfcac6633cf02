"""Makes what rclip would download, with random weights: how long it takes does not depend on their values.

    PEER/bin/python benchmarks/rclip_graphs.py FOLDER

Runs in the peer's environment, by `benchmarks/peer.py`. The networks are those of rclip's model, ViT-B/32 at 256 pixels
and CLIP's text tower, built by open_clip.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

if torch.version.cuda is None:  # PyPI's torchvision does not load beside a CPU build of torch
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))

import open_clip

MODEL = "ViT-B-32-256"


class Pictures(nn.Module):
    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Tensor) -> Tensor:
        return self.clip.encode_image(pixels)  # type: ignore[operator, no-any-return]


class Words(nn.Module):
    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, ids: Tensor) -> Tensor:
        return self.clip.encode_text(ids)  # type: ignore[operator, no-any-return]


def main(folder: Path) -> None:
    models, tokenizer = folder / f"{MODEL}-datacomp_s34b_b86k", folder / "tokenizer"
    for made in (models, tokenizer):
        made.mkdir(parents=True)
    clip = open_clip.create_model(MODEL).eval()
    examples = {
        "visual": (Pictures(clip), torch.zeros(2, 3, 256, 256)),
        "textual": (Words(clip), torch.zeros(2, 77, dtype=torch.int64)),
    }
    for name, (network, example) in examples.items():
        torch.onnx.export(
            network,
            (example,),
            models / f"{name}.onnx",
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}},
            dynamo=False,
        )
    shutil.copy(Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz"), tokenizer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
