"""A re-rank model as the second stage: what it reads, how it orders hits, and files that cannot be opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from pixsearch import Hit, Library, Picture, Query, SearchEngine, Words
from pixsearch.errors import UsageError
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch.search.query import why_not_read
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.opposite_reader import OppositeReader

Colours = Mapping[str, tuple[int, int, int]]
Indexed = Callable[..., SearchEngine]

PHOTOS = {"dark red": (51, 0, 0), "pink": (255, 102, 102), "violet": (153, 0, 255), "blue": (0, 0, 255)}
"""Similarities to red: 1, 0.87, 0.51, 0. Match scores from the colours: -3, 5, 1, -5. From the reader: 8, 0, 4, 10."""
RED = Query((Words("red"),), evidence="shows")


@pytest.fixture
def reader() -> OppositeReader:
    return OppositeReader()


@pytest.fixture
def indexed(tmp_path: Path, reader: OppositeReader) -> Iterator[Indexed]:
    """A function that indexes photos in one colour each, and returns an engine with the reader."""
    libraries: list[Library] = []

    def make(
        colours: Colours = PHOTOS,
        *,
        default_order: Literal["match", "similarity"] = "match",
        reads_pairs: bool = True,
        calibrated: bool = False,
        words_taught: Mapping[str, int] | None = None,
    ) -> SearchEngine:
        folder = tmp_path / "photos"
        folder.mkdir()
        for name, colour in colours.items():
            Image.new("RGB", (20, 10), colour).save(folder / f"{name}.png")
        runtime = ColourRuntime(default_order=default_order, calibrated=calibrated, words_taught=words_taught)
        runtime.reads_pairs = reads_pairs
        library = Library.create(tmp_path / "library")
        libraries.append(library)
        index_folders(library, runtime, [folder], load_files=load_in_this_process)
        return SearchEngine(library, runtime, CandidateReader(reader))

    yield make
    for library in libraries:
        library.close()


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.stem for hit in hits]


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize(
    ("default_order", "reads_pairs"), [("match", True), ("similarity", True), ("similarity", False)]
)
def test_hits_are_ordered_by_the_reader_whatever_the_library_s_model_does(
    indexed: Indexed, default_order: str, reads_pairs: bool, calibrated: bool
) -> None:
    engine = indexed(default_order=default_order, reads_pairs=reads_pairs, calibrated=calibrated)

    hits = engine.search(RED)

    assert names(hits) == ["blue", "dark red", "violet", "pink"]
    assert [hit.match for hit in hits] == pytest.approx([10, 8, 4, 0], abs=1e-4)
    assert [hit.similarity_rank for hit in hits] == [4, 1, 3, 2]
    assert {(hit.probability, hit.score, hit.likely, hit.match_error) for hit in hits} == {(None,) * 4}
    assert names(engine.search(replace(RED, rerank=True))) == names(hits)


def test_it_reads_the_candidates_alone(indexed: Indexed, reader: OppositeReader) -> None:
    hits = indexed().search(replace(RED, candidates=2))

    # The best by late interaction, which gives the same order as similarity here.
    assert {colour for _, colour in reader.read} == {PHOTOS["dark red"], PHOTOS["pink"]}
    assert names(hits) == ["dark red", "pink", "violet", "blue"]
    assert [hit.match is None for hit in hits] == [False, False, True, True]


def test_parts_count_by_their_weights(indexed: Indexed, reader: OppositeReader) -> None:
    query = Query((Words("red"), Words("blue", -0.5)), evidence="shows")

    hits = indexed().search(query)

    # Blue only: 10, 6, 0, 0 in the order of PHOTOS.
    assert {hit.path.stem: hit.match for hit in hits} == pytest.approx(
        {"dark red": 8 - 5, "pink": 0 - 3, "violet": 4, "blue": 10}, abs=1e-4
    )
    assert names(hits) == ["blue", "violet", "dark red", "pink"]
    assert len(reader.read) == 4  # each picture is opened only once


def test_a_negation_in_words_is_a_part_that_is_not_looked_for(indexed: Indexed, reader: OppositeReader) -> None:
    indexed().search(Query((Words("red without blue"),)))

    assert {texts for texts, _ in reader.read} == {("red", "blue")}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "the file no longer exists"),
        (lambda file: Image.new("RGB", (9, 9)).save(file), "the file has changed since it was indexed"),
    ],
)
def test_a_file_that_is_not_what_was_indexed_keeps_its_place(
    indexed: Indexed, reader: OppositeReader, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    engine = indexed()
    spoil(tmp_path / "photos/pink.png")

    hits = engine.search(RED)

    # Pink is second by similarity. The readable photos are ordered around it, best first.
    assert names(hits) == ["blue", "pink", "dark red", "violet"]
    assert [hit.match is None for hit in hits] == [False, True, False, False]
    assert [hit.match_error is None for hit in hits] == [True, False, True, True]
    assert reason in (hits[1].match_error or "")
    assert PHOTOS["pink"] not in {colour for _, colour in reader.read}


def test_a_picture_that_the_model_cannot_read_keeps_its_place(indexed: Indexed) -> None:
    hits = indexed({**PHOTOS, "green": (0, 255, 0), "grass": (51, 204, 0)}).search(RED)

    assert [(hit.path.stem, hit.match_error) for hit in hits if hit.match_error] == [
        ("grass", "green cannot be read"),
        ("green", "green cannot be read"),
    ]


def test_another_copy_is_read_where_the_first_has_gone(indexed: Indexed, tmp_path: Path) -> None:
    engine = indexed({**PHOTOS, "a copy of pink": PHOTOS["pink"]})
    (tmp_path / "photos/a copy of pink.png").unlink()

    assert [hit.match_error for hit in engine.search(RED)] == [None] * 4


def test_what_was_read_once_is_not_read_again(indexed: Indexed, reader: OppositeReader, tmp_path: Path) -> None:
    engine = indexed()
    first = engine.search(RED)
    (tmp_path / "photos/blue.png").unlink()
    reader.read.clear()

    again, other = engine.search(RED), engine.search(replace(RED, parts=(Words("blue"),)))

    assert [(hit.id, hit.match) for hit in again] == [(hit.id, hit.match) for hit in first]
    assert {texts for texts, _ in reader.read} == {("blue",)}
    assert len(reader.read) == 3
    assert sum(hit.match_error is not None for hit in other) == 1


def test_no_more_is_kept_than_fits(indexed: Indexed, reader: OppositeReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch.search.candidate_reader._MOST_KEPT", 5)
    engine = indexed()

    for text in ("red", "blue", "red", "red"):
        engine.search(replace(RED, parts=(Words(text),)))

    # What was read first is evicted first: the third query finds nothing left from the first, and the last query finds
    # everything from the third.
    assert [texts for texts, _ in reader.read] == [("red",)] * 4 + [("blue",)] * 4 + [("red",)] * 4


def test_names_are_not_asked_of_the_model(indexed: Indexed, reader: OppositeReader) -> None:
    taught = {"red": 100, "blue": 100, "pink": 100, "dark": 100}
    engine = indexed({**PHOTOS, "zanzibar": (0, 51, 51)}, calibrated=True, words_taught=taught)

    by_name = engine.search(Query((Words("zanzibar"),)))
    read_for_name = len(reader.read)
    both = engine.search(Query((Words("zanzibar red"),)))

    assert names(by_name)[0] == "zanzibar"
    assert by_name[0].score is not None  # from the library's own model
    assert read_for_name == 0
    assert {texts for texts, _ in reader.read} == {("red",)}
    assert names(both)[0] == "zanzibar"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (replace(RED, rerank=False), "--no-rerank"),
        (replace(RED, threshold=0.1), "no calibrated probabilities for a threshold"),
        (replace(RED, sort="newest"), "not by date"),
        (replace(RED, evidence="says"), "searches metadata only"),
        (Query((Picture(1),)), "without words"),
    ],
)
def test_the_library_s_own_model_answers_what_the_reader_does_not_order(
    indexed: Indexed, reader: OppositeReader, query: Query, reason: str
) -> None:
    engine = indexed(calibrated=True)

    engine.search(query)

    assert reader.read == []
    assert reason in (why_not_read(query) or "")


def test_a_query_without_words_is_not_re_ranked(indexed: Indexed) -> None:
    with pytest.raises(UsageError, match="a query without words cannot be re-ranked"):
        indexed().search(Query((Picture(1),), rerank=True))
