"""Compare ways to search for "A without B": literally, and as A minus B.

    python benchmarks/without.py --album album/images --benchmark album/benchmark.json

Two judged queries for an album are combined into a question such as "balloons without cake" if some photos match both
of them and others match only the first. Photos that match only the first are correct, and photos that match both are
wrong. Each question is searched for literally (--literal), in the default way, and with different weights for the
second part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch_indexer import index_folders
from pixsearch_trainer.evaluation.judged import JudgedQuery, read_judged

WEIGHTS = (0.5, 2.0)
"""The weights of the excluded part. The default in a search is 1."""


@dataclass(frozen=True, slots=True)
class Question:
    """A wanted part, an excluded part, the photos that match only the wanted part, and the photos that match both."""

    wanted: str
    less: str
    right: frozenset[str]
    wrong: frozenset[str]

    @property
    def text(self) -> str:
        return f"{self.wanted} without {self.less}"


def main(
    album: Annotated[Path, typer.Option(help="Folder with the album's photos.")],
    benchmark: Annotated[Path, typer.Option(help="Judged queries for the album.")],
) -> None:
    names = {name: next(album.glob(f"*{name}.*")).name for query in read_judged(benchmark) for name in query.photos}
    runtime = PixelBertRuntime(find_checkpoint(None))
    with tempfile.TemporaryDirectory() as folder, Library.create(Path(folder)) as library:
        index_folders(library, runtime, [album])
        engine = SearchEngine(library, runtime)
        questions = [one for one in questions_of(read_judged(benchmark), names) if is_negation(engine, one)]
        ways: dict[str, Callable[[Question], Query]] = {
            "literal": lambda one: Query((Words(one.text),), evidence="shows", literal=True),
            "minus": lambda one: Query((Words(one.text),), evidence="shows"),
        }
        for weight in WEIGHTS:
            ways[f"minus, {weight}"] = lambda one, weight=weight: Query(  # type: ignore[misc]
                (Words(one.wanted), Words(one.less, -weight)), evidence="shows"
            )
        print(f"{len(questions)} questions")
        for name, query_of in ways.items():
            ranks = [[hit.path.name for hit in engine.search(query_of(one), len(names))] for one in questions]
            found = list(zip(questions, ranks, strict=True))
            first = sum(rank[0] in one.right for one, rank in found)
            fooled = sum(rank[0] in one.wrong for one, rank in found)
            precision = mean(average_precision(one.right, rank) for one, rank in found)
            print(
                f"{name:13} correct first {first}, wrong first {fooled}, average precision {precision:.3f}", flush=True
            )


def questions_of(judged: list[JudgedQuery], names: dict[str, str]) -> list[Question]:
    """Return a question for each pair of queries for which some photos match both, and some only the first."""
    shown = [(query.text, frozenset(names[name] for name in query.photos)) for query in judged]
    return [
        Question(wanted, less, of_wanted - of_less, of_wanted & of_less)
        for wanted, of_wanted in shown
        for less, of_less in shown
        if of_wanted & of_less and of_wanted - of_less
    ]


def is_negation(engine: SearchEngine, question: Question) -> bool:
    """Return whether the search interprets the question as the wanted part minus the excluded part."""
    negations = engine.remarks(Query((Words(question.text),))).negations
    return [(one.asked, one.less) for one in negations] == [(question.wanted, (question.less,))]


def average_precision(right: frozenset[str], ranked: list[str]) -> float:
    """Return the average precision: the mean, over the correct photos, of the precision at their ranks."""
    ranks = [rank for rank, name in enumerate(ranked, 1) if name in right]
    return sum(count / rank for count, rank in enumerate(ranks, 1)) / len(right)


if __name__ == "__main__":
    typer.run(main)
