"""Judged queries: their file, the photos it names, and search results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pixsearch.errors import DatasetError
from pixsearch_trainer.evaluation.judged import (
    JudgedQuery,
    JudgedSearch,
    area_under_curve,
    average_precision,
    encode_album,
    read_judged,
    right_photos,
    search_album,
)
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo
from tests.unsuitable_files import UNSUITABLE, in_time


def written(folder: Path, document: object) -> Path:
    file = folder / "queries.json"
    file.write_text(json.dumps(document))
    return file


def test_queries_for_what_is_there_and_what_is_not_are_read(tmp_path: Path) -> None:
    document = {
        "album": 1,
        "queries": [{"query": "a cat", "length": "short", "photos": ["0014", "b.jpg"]}],
        "absent": [{"query": "a camel", "similar": ["0001"]}],
    }

    queries = read_judged(written(tmp_path, document))

    assert queries == [JudgedQuery("a cat", ("0014", "b.jpg")), JudgedQuery("a camel", ())]


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ([], "is not a JSON object"),
        ({"absent": []}, 'no valid "queries"'),
        ({"queries": [{"query": "a cat"}]}, 'no valid "photos"'),
        ({"queries": [{"query": "a cat", "photos": []}]}, 'move the query to "absent"'),
        ({"queries": [], "absent": [{"query": " "}]}, "1 empty query"),
        ({"queries": [], "absent": 3}, 'no valid "absent"'),
    ],
)
def test_a_file_that_says_it_otherwise_is_refused_with_the_format(tmp_path: Path, document: object, what: str) -> None:
    with pytest.raises(DatasetError) as refusal:
        read_judged(written(tmp_path, document))

    assert what in str(refusal.value)
    assert refusal.value.hint
    assert '"absent": [{"query": "a camel"}]' in refusal.value.hint


def test_a_photo_is_named_by_its_file_its_stem_or_its_number(tmp_path: Path) -> None:
    for name in ("photo_0014.png", "red one.png", "deep_15.png"):
        make_photo(tmp_path / name, "red")
    album = encode_album(ColourRuntime(), tmp_path)

    right = right_photos([JudgedQuery("red", ("0014", "red one.png", "deep_15")), JudgedQuery("blue", ())], album)

    assert right.tolist() == [[True] * 3, [False] * 3]


def test_a_name_of_no_photo_or_of_two_is_refused(tmp_path: Path) -> None:
    for name in ("a_1.png", "b_1.png"):
        make_photo(tmp_path / name, "red")
    album = encode_album(ColourRuntime(), tmp_path)

    for name, what in (("1", "2 photos"), ("2", "no photo")):
        with pytest.raises(DatasetError, match=what):
            right_photos([JudgedQuery("red", (name,))], album)


def test_a_search_orders_the_nearest_and_reads_the_best_of_them(tmp_path: Path) -> None:
    """A match is 10 x the brightness in red less 5: dark red -3, pink 5, blue -5. Dark red is most similar."""
    for name, colour in (("blue", "blue"), ("dark", (50, 0, 0)), ("pink", (255, 102, 102))):
        make_photo(tmp_path / f"{name}.png", colour)
    runtime = ColourRuntime()
    album = encode_album(runtime, tmp_path)
    right = right_photos([JudgedQuery("red", ("pink",))], album)

    found = search_album(runtime, album, ["red"], right, ordered=2, reads=2)
    one_read = search_album(runtime, album, ["red"], right, ordered=2, reads=1)

    names = np.array([picture.file.stem for picture in album.pictures])
    assert names[found.order(reranked=False)[0]].tolist() == ["dark", "pink", "blue"]
    assert names[found.order(reranked=True)[0]].tolist() == ["pink", "dark", "blue"]
    assert found.logits[0].tolist() == pytest.approx([-3.04, 5.0], abs=0.01)
    assert found.labels.tolist() == [[False, True]]
    assert names[one_read.order(reranked=True)[0]].tolist() == ["dark", "pink", "blue"]
    assert np.isnan(one_read.logits[0]).tolist() == [False, True]
    assert (runtime.pairs_ordered, runtime.pairs_matched) == (2 + 2, 2 + 1)


def test_part_of_a_search_is_some_of_its_queries() -> None:
    scores = np.eye(2, dtype=np.float32)
    search = JudgedSearch(scores, scores > 0, np.eye(2, dtype=np.int64), scores, scores)

    assert search.part(np.array([False, True])).similarity.tolist() == [[0, 1]]


def test_average_precision_is_that_counted_by_hand() -> None:
    # One query has right photos at ranks 1 and 3: (1/1 + 2/3) / 2. The other only at rank 2: 1/2.
    order = np.array([[2, 0, 1], [0, 1, 2]])
    right = np.array([[False, True, True], [False, True, False]])

    assert average_precision(order, right).tolist() == pytest.approx([(1 + 2 / 3) / 2, 0.5])


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.1], np.float32)

    # 0.9 is above both; 0.5 ties with 0.5 and is above 0.1: (1 + 1 + 0.5 + 1) / 4.
    assert area_under_curve(scores, np.array([True, True, False, False])) == 0.875


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_judged_queries_that_are_no_file_or_endless_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    UNSUITABLE[kind](tmp_path / "queries.json")

    with in_time(), pytest.raises(DatasetError, match=r"cannot be read \((not a regular file|larger than 64 MiB)\)"):
        read_judged(tmp_path / "queries.json")
