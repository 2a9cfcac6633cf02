"""Compare ways to search for "A without B": literally, or as A minus B.

    python benchmarks/without.py --album album/images --benchmark album/benchmark.json

Any two judged queries of an album make a question such as "balloons without cake", if some photos answer both, and some
only the first. Photos that answer only the first are right, and those that answer both are wrong. The question is
searched for literally (--literal), as the search treats it by default, and with other weights of the second part.
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
"""The weights of the part that is left out; a search uses 1."""


@dataclass(frozen=True, slots=True)
class Question:
    """The wanted part, the part to leave out, and the photos that answer only the first, and both."""

    wanted: str
    less: str
    right: frozenset[str]
    wrong: frozenset[str]

    @property
    def text(self) -> str:
        return f"{self.wanted} without {self.less}"


def main(
    album: Annotated[Path, typer.Option(help="The folder of the album's photos.")],
    benchmark: Annotated[Path, typer.Option(help="The album's judged queries.")],
) -> None:
    names = {name: next(album.glob(f"*{name}.*")).name for query in read_judged(benchmark) for name in query.photos}
    runtime = PixelBertRuntime(find_checkpoint(None))
    with tempfile.TemporaryDirectory() as folder, Library.create(Path(folder)) as library:
        index_folders(library, runtime, [album])
        engine = SearchEngine(library, runtime)
        questions = [one for one in questions_of(read_judged(benchmark), names) if is_negation(engine, one)]
        ways: dict[str, Callable[[Question], Query]] = {
            "as it stands": lambda one: Query((Words(one.text),), evidence="shows", literal=True),
            "less": lambda one: Query((Words(one.text),), evidence="shows"),
        }
        for weight in WEIGHTS:
            ways[f"less, {weight}"] = lambda one, weight=weight: Query(  # type: ignore[misc]
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
                f"{name:13} right first {first}, of both first {fooled}, average precision {precision:.3f}", flush=True
            )


def questions_of(judged: list[JudgedQuery], names: dict[str, str]) -> list[Question]:
    """Return a question for each two queries of which some photos answer both, and some only the first."""
    shown = [(query.text, frozenset(names[name] for name in query.photos)) for query in judged]
    return [
        Question(wanted, less, of_wanted - of_less, of_wanted & of_less)
        for wanted, of_wanted in shown
        for less, of_less in shown
        if of_wanted & of_less and of_wanted - of_less
    ]


def is_negation(engine: SearchEngine, question: Question) -> bool:
    """Return whether the search recognises the question as the wanted part minus the other."""
    negations = engine.remarks(Query((Words(question.text),))).negations
    return [(one.asked, one.less) for one in negations] == [(question.wanted, (question.less,))]


def average_precision(right: frozenset[str], ranked: list[str]) -> float:
    """Return the mean, over the right photos, of the share of right ones up to each."""
    ranks = [rank for rank, name in enumerate(ranked, 1) if name in right]
    return sum(count / rank for count, rank in enumerate(ranks, 1)) / len(right)


if __name__ == "__main__":
    typer.run(main)
