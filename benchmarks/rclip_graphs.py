"""Make the graphs that rclip would download, with random weights, whose values do not affect its speed.

    PEER/bin/python -m benchmarks.rclip_graphs FOLDER

`benchmarks/peer.py` runs it in the peer's environment. The networks are those of rclip's model, ViT-B/32 at 256 pixels
and CLIP's text tower, built by open_clip.
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
    """One tower of CLIP; `encode` is the name of its method."""

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
