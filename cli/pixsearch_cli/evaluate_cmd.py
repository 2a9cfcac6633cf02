"""`pixsearch evaluate`: recall@k of a model on captioned pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch_cli.options import CheckpointOption, JsonOption, MaxBadOption
from pixsearch_cli.output import print_json, print_table, progress_bars, tell_problems

if TYPE_CHECKING:
    from pixsearch_trainer.data.pairs import CaptionedPicture
    from pixsearch_trainer.evaluation.recall import Evaluation, Recall


def evaluate(
    data: Annotated[
        Path, typer.Option(metavar="FILE|DIR", help="Pictures and captions, in any format that train reads.")
    ],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where its pictures are. [default: where it is itself]")
    ] = None,
    model: CheckpointOption = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which of its pictures. [default: val, or the only split]")
    ] = None,
    candidates: Annotated[
        list[int] | None,
        typer.Option(
            min=1, metavar="K", help="How many of the first stage's are re-ranked; again for more. [default: 64]"
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Re-rank all items too, as the paper does.")] = False,
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="Measure the first stage alone.")] = False,
    folds: Annotated[
        int, typer.Option(min=1, metavar="N", help="Cut the pictures into N equal parts and average over them.")
    ] = 1,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N queries at random, against all pictures.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --sample.")] = 0,
    max_bad: MaxBadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall on captioned pictures, by the first stage and after the re-rank; equal scores count against us.

    For example: pixsearch evaluate --data dataset.json --images pictures
    """
    if no_rerank and (candidates or full):
        raise UsageError("--no-rerank leaves no candidates to look at", "Leave out --candidates and --full, or it")

    from pixsearch.model.checkpoints import find_checkpoint, load_checkpoint
    from pixsearch.model.runtime import best_device
    from pixsearch_trainer.data.checking import enforce_limit
    from pixsearch_trainer.data.reading import read_captioned
    from pixsearch_trainer.evaluation.measure import evaluate_folds
    from pixsearch_trainer.features import encode_grids

    network, processor = load_checkpoint(find_checkpoint(model))
    network.to(best_device())
    reading = read_captioned(data, images)
    enforce_limit(reading.problems, max_bad, len(reading.pictures))
    tell_problems(reading.problems)
    pictures = of_split([picture for picture in reading.pictures if picture.captions], split)
    ks = [] if no_rerank else candidates or ([] if full else [64])
    with progress_bars() as show, tempfile.TemporaryDirectory() as folder:
        grids = encode_grids(network, processor, pictures, Path(folder), show)
        evaluation = evaluate_folds(
            network, processor, pictures, grids, folds, ks, sample, seed, show, full, timed=True
        )
    if as_json:
        print_json(evaluation.as_json())
    else:
        _print_table(evaluation)


def of_split(pictures: Sequence[CaptionedPicture], split: str | None) -> list[CaptionedPicture]:
    """Of val where none is named, or of the only split that there is."""
    splits = list(dict.fromkeys(picture.split for picture in pictures))
    if split is None:
        split = splits[0] if len(splits) == 1 else "val"
    chosen = [picture for picture in pictures if picture.split == split]
    if not chosen:
        there = f"It has {', '.join(splits)}" if splits else "Give other data"
        raise UsageError(f"there is no picture to evaluate on in the split {split!r}", there)
    return chosen


def _print_table(evaluation: Evaluation) -> None:
    rows = []
    for name, direction in (("text to image", evaluation.text_to_image), ("image to text", evaluation.image_to_text)):
        rows.append(_row(direction.first_stage, f"{name}, first stage"))
        rows += [_row(recall, f"{name}, re-ranked {k}") for k, recall in direction.reranked.items()]
    headings = ["R@1", "R@5", "R@10", "median rank", "ms a query"]
    print_table([*headings, f"{evaluation.pictures:,} pictures, {evaluation.captions:,} captions"], rows)


def _row(recall: Recall, name: str) -> list[str]:
    percent = [f"{recall.r1:.1f}", f"{recall.r5:.1f}", f"{recall.r10:.1f}"]
    return [*percent, f"{recall.median_rank:g}", f"{recall.milliseconds or 0:.1f}", name]
