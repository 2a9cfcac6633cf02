"""Embed the photos in a folder with open_clip's ViT-B/32 in torch, as shown in its documentation.

    PEER/bin/python -m benchmarks.open_clip_photos FOLDER

`benchmarks/indexing.py` runs this module in the peer's environment. The weights are random, and nothing is stored.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

import open_clip  # isort: skip


class Photos(Dataset[Tensor]):
    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.iterdir())
        _, _, self.preprocess = open_clip.create_model_and_transforms("ViT-B-32")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        pixels: Tensor = self.preprocess(Image.open(self.paths[index]))
        return pixels


def main(folder: Path) -> None:
    model = open_clip.create_model("ViT-B-32").eval()
    with torch.inference_mode():
        for pixels in DataLoader(Photos(folder), batch_size=32, num_workers=2):
            model.encode_image(pixels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
