"""Whether "A without B" is better asked as A less B than as it stands.

    python benchmarks/without.py --album album/images --benchmark album/benchmark.json

Of the judged queries of an album each two that some photo answers both, and some the first alone, make a question:
"balloons without cake". The photos of the first alone are right, those of both are wrong. It is asked as it stands
(--literal), as the search does it, and with other weights of what is left out.
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
"""Of what is left out; a search has 1."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, what is left out, and the photos that answer: the first alone, and both."""

    wanted: str
    less: str
    right: frozenset[str]
    wrong: frozenset[str]

    @property
    def text(self) -> str:
        return f"{self.wanted} without {self.less}"


def main(
    album: Annotated[Path, typer.Option(help="The folder of its photos.")],
    benchmark: Annotated[Path, typer.Option(help="Its judged queries.")],
) -> None:
    names = {name: next(album.glob(f"*{name}.*")).name for query in read_judged(benchmark) for name in query.photos}
    runtime = PixelBertRuntime(find_checkpoint(None))
    with tempfile.TemporaryDirectory() as folder, Library.create(Path(folder)) as library:
        index_folders(library, runtime, [album])
        engine = SearchEngine(library, runtime)
        questions = [one for one in questions_of(read_judged(benchmark), names) if is_asked_otherwise(engine, one)]
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
    """Return a question for each two queries that some photo answers both, and some the first alone."""
    shown = [(query.text, frozenset(names[name] for name in query.photos)) for query in judged]
    return [
        Question(wanted, less, of_wanted - of_less, of_wanted & of_less)
        for wanted, of_wanted in shown
        for less, of_less in shown
        if of_wanted & of_less and of_wanted - of_less
    ]


def is_asked_otherwise(engine: SearchEngine, question: Question) -> bool:
    """Whether the search takes the question for one thing less another."""
    negations = engine.remarks(Query((Words(question.text),))).negations
    return [(one.asked, one.less) for one in negations] == [(question.wanted, (question.less,))]


def average_precision(right: frozenset[str], ranked: list[str]) -> float:
    """Return the mean, over the right photos, of the share of right ones up to each."""
    places = [place for place, name in enumerate(ranked, 1) if name in right]
    return sum(count / place for count, place in enumerate(places, 1)) / len(right)


if __name__ == "__main__":
    typer.run(main)
