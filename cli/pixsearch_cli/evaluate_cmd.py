"""`pixsearch evaluate`: recall@k of a model on captioned pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch_cli.options import JsonOption, ModelOption
from pixsearch_cli.output import print_json, print_table, progress_bars

if TYPE_CHECKING:
    from pixsearch_trainer.evaluation import Evaluation, Recall


def evaluate(
    data: Annotated[Path, typer.Option(metavar="JSON", help="Captions in Karpathy's format.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The folder of its pictures.")],
    model: ModelOption = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which of its pictures.")] = "val",
    candidates: Annotated[
        list[int] | None,
        typer.Option(
            min=1, metavar="K", help="How many of the first stage's are re-ranked; again for more. [default: 64]"
        ),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="N queries at random, against all pictures.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --sample.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure recall on captioned pictures, by the first stage and after the re-rank; equal scores count against us.

    For example: pixsearch evaluate --data dataset.json --images pictures
    """
    from pixsearch.model.checkpoints import find_checkpoint, load_checkpoint
    from pixsearch.model.runtime import best_device
    from pixsearch_trainer.data.karpathy import read_karpathy
    from pixsearch_trainer.data.pairs import of_split
    from pixsearch_trainer.evaluation import evaluate as measure
    from pixsearch_trainer.features import encode_grids

    pictures = of_split(read_karpathy(data, images), split)
    network, processor = load_checkpoint(find_checkpoint(model))
    network.to(best_device())
    with progress_bars() as show, tempfile.TemporaryDirectory() as folder:
        grids = encode_grids(network, processor, pictures, Path(folder), show)
        evaluation = measure(network, processor, pictures, grids, candidates or [64], sample, seed, show)
    if as_json:
        print_json(evaluation.as_json())
    else:
        _print_table(evaluation)


def _print_table(evaluation: Evaluation) -> None:
    rows = []
    for name, direction in (("text to image", evaluation.text_to_image), ("image to text", evaluation.image_to_text)):
        rows.append(_row(direction.first_stage, f"{name}, first stage"))
        rows += [_row(recall, f"{name}, re-ranked {k}") for k, recall in direction.reranked.items()]
    print_table(["R@1", "R@5", "R@10", "median rank", f"{evaluation.pictures:,} pictures"], rows)


def _row(recall: Recall, name: str) -> list[str]:
    return [f"{recall.r1:.1f}", f"{recall.r5:.1f}", f"{recall.r10:.1f}", f"{recall.median_rank:g}", name]
