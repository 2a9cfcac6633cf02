"""Create the ONNX models that rclip would download, with random weights, which do not affect its speed.

    PEER/bin/python -m benchmarks.rclip_graphs FOLDER

`benchmarks/peer.py` runs this module in the peer's environment. The architecture is that of rclip's model, a ViT-B/32
for 256 pixels with CLIP's text tower, built with open_clip.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import open_clip  # isort: skip

MODEL = "ViT-B-32-256"


class Tower(nn.Module):
    """A tower of CLIP, which calls the method named by `encode`."""

    def __init__(self, clip: nn.Module, encode: str) -> None:
        super().__init__()
        self.clip, self.encode = clip, encode

    def forward(self, inputs: Tensor) -> Tensor:
        encoded: Tensor = getattr(self.clip, self.encode)(inputs)
        return encoded


def main(folder: Path) -> None:
    models, tokenizer = folder / f"{MODEL}-datacomp_s34b_b86k", folder / "tokenizer"
    for made in (models, tokenizer):
        made.mkdir(parents=True)
    clip = open_clip.create_model(MODEL).eval()
    examples = {
        "visual": (Tower(clip, "encode_image"), torch.zeros(2, 3, 256, 256)),
        "textual": (Tower(clip, "encode_text"), torch.zeros(2, 77, dtype=torch.int64)),
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
