"""Run the paper's ablations (Pixel-BERT, table 6) at a scale that a laptop can handle.

For each row, the model is pre-trained (`pixsearch train --recipe paper --stage pretraining`) and then fine-tuned for
search with the stages `maps` and `joint` of the recipe `shipped`. All rows start from the same model. The paper's own
ranking stage is not used because it takes thousands of steps to leave its plateau. The table shows R@1 for the first
stage and after re-ranking. The paper's columns for VQA and NLVR2 are omitted because they require those data sets.

    python benchmarks/ablations.py --data dataset.json --images pictures/ --language-model minilm/ \\
        --backbone efficientnet_lite2=efficientnet-lite2.pth --backbone resnet50=resnet50.pth
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.progress import silent
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.reading import read_captioned
from pixsearch_trainer.evaluation.encoding import encode
from pixsearch_trainer.evaluation.measure import EvaluationOptions, evaluate
from pixsearch_trainer.evaluation.recall import Evaluation
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.train import Listener, train

PARTS = ("masked_words", "matching", "sampling")
ROWS: tuple[tuple[str, ...] | None, ...] = (
    None,
    ("masked_words", "sampling"),
    ("matching", "sampling"),
    ("masked_words", "matching"),
    PARTS,
)
"""The pre-training parts in the paper's rows (1) to (5); None means no pre-training.

The first backbone is used for all rows. The others are used only with all parts, as in row (6) of the paper."""

_CANDIDATES = 16


@dataclass(frozen=True)
class Setting:
    """The settings shared by all rows."""

    data: Path
    val: list[CaptionedPicture]
    steps: int
    batch: int
    seed: int


def main(
    data: Annotated[Path, typer.Option(help="Captioned pictures with train and val splits.")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    backbone: Annotated[
        list[str],
        typer.Option(metavar="NAME=WEIGHTS", help="Backbone; may be repeated. The first is used for all rows."),
    ],
    language_model: Annotated[str, typer.Option(help="Folder or name of a BERT model.")],
    pictures: Annotated[int, typer.Option(help="Number of training pictures.")] = 2000,
    val: Annotated[int, typer.Option(help="Number of val pictures. Only their first captions are used.")] = 200,
    pixel_steps: Annotated[
        int, typer.Option(help="Number of steps in the stage pixels, which precedes all rows.")
    ] = 150,
    steps: Annotated[int, typer.Option(help="Number of steps in pre-training and in the stage joint.")] = 100,
    batch: Annotated[int, typer.Option(help="Batch size in pre-training.")] = 32,
    seed: int = 0,
) -> None:
    """Print the table."""
    read = read_captioned(data, images).pictures
    measured = [CaptionedPicture(one.file, one.captions[:1]) for one in of_split(read, "val")[:val]]
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, seed {seed}")
    print(f"{pictures:,} train and {val} val pictures; R@1 in percent: first stage, {_CANDIDATES} re-ranked")
    print("\n| | model | MLM | ITM | sampling | TR | IR | minutes |\n|---|---|---|---|---|---|---|---|")
    number = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        setting = Setting(folder / "train.json", measured, steps, batch, seed)
        setting.data.write_text(json.dumps({"images": [entry(one) for one in of_split(read, "train")[:pictures]]}))
        for index, named in enumerate(backbone):
            name, _, weights = named.partition("=")
            start = ("start.backbone=" + name, "start.cnn=" + weights, "start.language_model=" + language_model)
            step(setting, folder / name, "shipped", ("pixels",), (*start, f"pixels.steps={pixel_steps}"))
            for parts in ROWS if index == 0 else ROWS[-1:]:
                number += 1
                began = time.monotonic()
                evaluation = measure(setting, folder / name, parts, folder / f"row-{number}")
                print(row(number, name, parts, evaluation, (time.monotonic() - began) / 60), flush=True)


def entry(picture: CaptionedPicture) -> dict[str, object]:
    """Return a training picture in Karpathy's format."""
    sentences = [{"raw": caption} for caption in picture.captions]
    return {"filename": str(Path(str(picture.file)).absolute()), "split": "train", "sentences": sentences}


def step(
    setting: Setting,
    out: Path,
    recipe: str,
    stages: tuple[str, ...],
    settings: tuple[str, ...],
    model: Path | None = None,
) -> None:
    """Run stages of a recipe, as `pixsearch train` does."""
    options = TrainOptions(
        recipe=recipe,
        stage=stages,
        set=settings,
        model=None if model is None else str(model),
        data=(str(setting.data),),
        out=str(out),
        seed=setting.seed,
    )
    train(options, Listener())


def measure(setting: Setting, start: Path, parts: tuple[str, ...] | None, out: Path) -> Evaluation:
    """Pre-train unless `parts` is None, fine-tune, and evaluate on the val split."""
    if parts is not None:
        switches = tuple(f"pretraining.{part}={str(part in parts).lower()}" for part in PARTS)
        numbers = (f"pretraining.steps={setting.steps}", f"pretraining.batch={setting.batch}")
        frozen = ("pretraining.train_cnn=false", "pretraining.learning_rate=3e-4")
        pretrained = out / "pretrained"
        step(setting, pretrained, "paper", ("pretraining",), (*numbers, *frozen, *switches), start)
        start = pretrained
    numbers = (f"joint.steps={setting.steps}", "joint.batch=1")
    step(setting, out / "model", "shipped", ("maps", "joint"), numbers, start)
    runtime = PixelBertRuntime(out / "model")
    return evaluate(runtime, encode(runtime, setting.val, silent), EvaluationOptions((_CANDIDATES,)))


def row(number: int, backbone: str, parts: tuple[str, ...] | None, evaluation: Evaluation, minutes: float) -> str:
    """Return a row of the table. In the paper's terms, TR is the retrieval of texts, and IR that of images."""
    ticks = " | ".join("x" if part in (parts or ()) else "" for part in PARTS)
    directions = evaluation.image_to_text, evaluation.text_to_image
    figures = " | ".join(f"{one.first_stage.r1:.1f}, {one.reranked[_CANDIDATES].r1:.1f}" for one in directions)
    return f"| ({number}) | {backbone} | {ticks} | {figures} | {minutes:.1f} |"


if __name__ == "__main__":
    typer.run(main)
