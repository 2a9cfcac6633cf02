"""`pixsearch evaluate`: recall@k of a model on captioned pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch_cli.measured_data import DataOption, ImagesOption, SplitOption, pictures_to_measure
from pixsearch_cli.options import CheckpointOption, JsonOption, MaxBadOption
from pixsearch_cli.output import print_json, print_table, progress_bars

if TYPE_CHECKING:
    from pixsearch_trainer.evaluation.recall import Evaluation, Recall


def evaluate(
    data: DataOption,
    images: ImagesOption = None,
    model: CheckpointOption = None,
    split: SplitOption = None,
    candidates: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="K",
            help=f"How many of the first stage's are re-ranked; again for more. [default: {DEFAULT_CANDIDATES}]",
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
    from pixsearch.model.devices import best_device
    from pixsearch_trainer.evaluation.measure import evaluate as measure
    from pixsearch_trainer.features import encode_grids

    network, processor = load_checkpoint(find_checkpoint(model))
    network.to(best_device())
    pictures = pictures_to_measure(data, images, split, max_bad)
    ks = [] if no_rerank else candidates or ([] if full else [DEFAULT_CANDIDATES])
    with progress_bars() as show, tempfile.TemporaryDirectory() as folder:
        grids = encode_grids(network, processor, pictures, Path(folder), show)
        evaluation = measure(
            network, processor, pictures, grids, ks, sample, seed, show, full=full, timed=True, folds=folds
        )
    if as_json:
        print_json(evaluation.as_json())
    else:
        _print_table(evaluation)


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
