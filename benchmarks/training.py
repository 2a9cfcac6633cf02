"""Measure the training speed of each stage of `pixsearch train --recipe shipped`, in pictures per second.

    python benchmarks/training.py [--steps 8] [--set joint.batch=2]

Runs a few steps of each stage on random pictures and words, starting from the built-in checkpoint, and prints the speed
logged at the last step. Uses a GPU if there is one, otherwise the CPU, and the default number format for training.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image

from benchmarks.measuring import print_machine
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.recipes.shipped import SHIPPED
from pixsearch_trainer.run.state import LOG_FILE
from pixsearch_trainer.train import Listener, train

WORDS = (
    "a",
    "dog",
    "cat",
    "tree",
    "house",
    "red",
    "small",
    "beach",
    "street",
    "car",
    "bird",
    "under",
    "beside",
    "with",
)


def main(
    pictures: Annotated[int, typer.Option(help="Number of random pictures.")] = 600,
    steps: Annotated[int, typer.Option(help="Number of steps per stage. Only the last one is reported.")] = 8,
    set: Annotated[list[str] | None, typer.Option(help="See pixsearch train.")] = None,
) -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = [f"{stage}.steps={steps}" for stage in SHIPPED.stages] + (set or [])
        options = TrainOptions(
            recipe="shipped",
            model="shipped",
            data=(str(random_data(folder, pictures)),),
            set=tuple(settings),
            out=str(folder / "model"),
        )
        train(options, Listener())
        lines = [json.loads(line) for line in (folder / "model" / LOG_FILE).read_text().splitlines()]
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"\n{name}, torch {torch.__version__}\n\n| stage | pictures/s |\n|---|---|")
    for stage in SHIPPED.stages:
        rates = [line["pictures_per_second"] for line in lines if line["name"] == stage]
        print(f"| {stage} | {rates[-1]:,.1f} |")


def random_data(folder: Path, pictures: int) -> Path:
    """Write JPEGs of 320 x 320 pixels and a table with a caption of 10 words for each."""
    chance = np.random.default_rng(0)
    rows = ["image,caption"]
    for number in range(pictures):
        tiles = Image.fromarray(chance.integers(0, 256, (20, 20, 3), dtype=np.uint8))
        tiles.resize((320, 320), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=92)
        rows.append(f"{number}.jpg,{' '.join(chance.choice(WORDS, 10))}")
    (folder / "data.csv").write_text("\n".join(rows))
    return folder / "data.csv"


if __name__ == "__main__":
    typer.run(main)
