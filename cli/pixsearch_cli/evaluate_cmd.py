"""`pixsearch evaluate`: measure the recall@k of a model on captioned pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch_cli.measured_data import DataOption, ImagesOption, SplitOption, encode_split
from pixsearch_cli.options import CheckpointOption, JsonOption, MaxBadOption
from pixsearch_cli.output import print_json, print_table, progress_bars


def evaluate(
    data: DataOption,
    images: ImagesOption = None,
    model: CheckpointOption = None,
    split: SplitOption = None,
    candidates: Annotated[
        list[int] | None,
        typer.Option(
            min=1, metavar="K", help=f"Number of items to re-rank; repeatable. [default: {DEFAULT_CANDIDATES}]"
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Also re-rank all items, as in the paper.")] = False,
    no_rerank: Annotated[bool, typer.Option("--no-rerank", help="Measure only the first stage.")] = False,
    folds: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Split the pictures into N equal parts and search each part separately."),
    ] = 1,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Measure N random queries against all items.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed for --sample.")] = 0,
    max_bad: MaxBadOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall on captioned pictures, before and after re-ranking. Ties count against the model.

    For example: pixsearch evaluate --data dataset.json --images pictures
    """
    if no_rerank and (candidates or full):
        raise UsageError("--candidates and --full do not apply to --no-rerank", "Omit one of them")

    from pixsearch.model.checkpoints import find_checkpoint
    from pixsearch.model.load_runtime import load_runtime
    from pixsearch_trainer.evaluation.measure import EvaluationOptions
    from pixsearch_trainer.evaluation.measure import evaluate as measure

    runtime = load_runtime(find_checkpoint(model))
    if not runtime.reads_pairs and (candidates or full):
        raise UsageError(f"the model {runtime.name} does not support re-ranking", "Omit --candidates and --full")
    no_rerank = no_rerank or not runtime.reads_pairs
    ks = [] if no_rerank else candidates or ([] if full else [DEFAULT_CANDIDATES])
    with progress_bars() as show:
        encoded = encode_split(runtime, data, images, split, max_bad, show)
        options = EvaluationOptions(ks, sample, seed, full=full, timed=True, folds=folds)
        evaluation = measure(runtime, encoded, options, show)
    if as_json:
        print_json(evaluation.as_json())
        return
    rows = []
    for name, direction in (("text to image", evaluation.text_to_image), ("image to text", evaluation.image_to_text)):
        reranked = {f"re-ranked {k}": recall for k, recall in direction.reranked.items()}
        for stage, one in ({"first stage": direction.first_stage} | reranked).items():
            figures = f"{one.r1:.1f} {one.r5:.1f} {one.r10:.1f} {one.median_rank:g} {one.milliseconds or 0:.1f}"
            rows.append([*figures.split(), f"{name}, {stage}"])
    counts = f"pictures: {evaluation.pictures:,}, captions: {evaluation.captions:,}"
    print_table(["R@1", "R@5", "R@10", "median rank", "ms per query", counts], rows)
