from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from pixsearch import Circle, Filters
from pixsearch.errors import LibraryError, UsageError
from pixsearch.metadata import Metadata
from pixsearch.vectors.faiss_index import FaissIndex
from pixsearch.vectors.milvus_index import MilvusIndex, server_of
from pixsearch.vectors.vector_index import Vectors

pytestmark = pytest.mark.slow

SIZE = 16
PLAIN = Metadata("JPEG", 4, 3)


@pytest.fixture
def index(milvus: str) -> Iterator[MilvusIndex]:
    made = MilvusIndex(f"{milvus}photos_{uuid.uuid4().hex}", "ab" * 32, SIZE)
    yield made
    made.close()


def vectors(count: int) -> Vectors:
    drawn = np.random.default_rng(0).standard_normal((count, SIZE)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def test_it_finds_what_faiss_finds(index: MilvusIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch.vectors.milvus_index._AMONG_AT_ONCE", 300)
    drawn = vectors(2100)
    ids = np.arange(5, 2105)
    index.put(ids.tolist(), drawn, [[PLAIN]] * len(ids))
    exact = FaissIndex.empty(SIZE)
    exact.add(ids, drawn)

    for among in (None, np.array([7, 8, 90, 1000]), ids[::3]):
        similarities, found = index.search(drawn[:50], 10, among)
        expected_similarities, expected = exact.search(drawn[:50], 10, among)
        assert similarities == pytest.approx(expected_similarities, abs=1e-3)  # FAISS stores 16 bits per number
        assert np.mean(
            [len(set(here) & set(there)) for here, there in zip(found, expected, strict=True)]
        ) >= 0.99 * len(expected[0])
    assert len(index) == 2100
    assert sorted(index.ids()) == ids.tolist()
    by_id = {int(id_): vector for part, rows in index.parts() for id_, vector in zip(part, rows, strict=True)}
    assert by_id[5] == pytest.approx(drawn[0])


def test_what_is_put_again_is_there_once_as_it_was_put_last(index: MilvusIndex) -> None:
    one, other = vectors(2)
    index.put([1], one[np.newaxis], [[PLAIN]])

    index.put([1], other[np.newaxis], [[PLAIN]])

    assert len(index) == 1
    assert index.search(other[np.newaxis], 1)[0][0, 0] == pytest.approx(1.0, abs=1e-5)


def test_what_is_removed_is_gone_and_what_is_not_there_does_not_matter(index: MilvusIndex) -> None:
    index.put([1, 2, 3], vectors(3), [[PLAIN]] * 3)

    assert index.remove(np.array([2, 3, 99])) == 2

    assert index.ids().tolist() == [1]


def test_the_collection_of_another_model_is_another_one_and_can_be_thrown_away(milvus: str) -> None:
    url = f"{milvus}photos_{uuid.uuid4().hex}"
    old = MilvusIndex(url, "aa" * 32, SIZE)
    old.put([1], vectors(1), [[PLAIN]])

    new = MilvusIndex(url, "bb" * 32, 4)
    assert len(new) == 0
    new.drop_other_models()

    assert len(MilvusIndex(url, "aa" * 32, SIZE)) == 0


PICTURES = {
    1: Metadata("JPEG", 4000, 3000, datetime(2021, 3, 5), "Canon EOS R6", None, 48.86, 2.35, keywords=("Spring", "a")),
    2: Metadata("JPEG", 3000, 4000, datetime(2022, 1, 1), "Nikon 100% Z6", keywords=("spring",)),
    3: Metadata("JPEG", 1000, 1000, None, None, None, 0.0, 0.0),
    4: Metadata("JPEG", 100, 200),
}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), [1, 2, 3, 4]),
        (Filters(after=datetime(2021, 3, 5)), [1, 2]),
        (Filters(after=datetime(2021, 3, 6)), [2]),
        (Filters(before=datetime(2022, 1, 1)), [1]),
        (Filters(orientation="landscape"), [1]),
        (Filters(orientation="portrait"), [2, 4]),
        (Filters(orientation="square"), [3]),
        (Filters(min_megapixels=12), [1, 2]),
        (Filters(max_megapixels=0.02), [4]),
        (Filters(has_place=True), [1, 3]),
        (Filters(near=Circle(48.0, 2.35, 100)), [1]),
    ],
)
def test_filters_are_the_server_s_to_judge(index: MilvusIndex, filters: Filters, expected: list[int]) -> None:
    index.put(list(PICTURES), vectors(4), [[one] for one in PICTURES.values()])

    assert sorted(index.search(vectors(1), 10, filters=filters)[1][0]) == expected


@pytest.mark.parametrize(
    "filters",
    [
        Filters(camera="nikon"),
        Filters(keywords=("spring",)),
        Filters(people=("anna",)),
        Filters(places=("kyoto",)),
        Filters(rating=4),
        Filters(name="*.jpg"),
        Filters(folders=(Path("/photos"),)),
    ],
    ids=str,
)
def test_what_the_server_cannot_judge_is_left_to_the_caller(index: MilvusIndex, filters: Filters) -> None:
    index.put(list(PICTURES), vectors(4), [[one] for one in PICTURES.values()])

    assert sorted(index.search(vectors(1), 10, filters=filters)[1][0]) == [1, 2, 3, 4]


def test_a_query_that_is_not_finite_is_refused(index: MilvusIndex) -> None:
    with pytest.raises(ValueError, match="finite"):
        index.search(np.full((1, SIZE), np.nan, np.float32), 1)


def test_an_empty_index_finds_nothing(index: MilvusIndex) -> None:
    similarities, ids = index.search(vectors(1), 5)

    assert (similarities.shape, ids.shape) == ((1, 0), (1, 0))


@pytest.mark.parametrize("url", ["http://host/photos", "milvus+http://host:19530", "milvus+http://host:19530/a-b", ""])
def test_what_is_no_server_of_vectors_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="is not a vector service URL"):
        server_of(url)


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(LibraryError, match=r"the vectors at milvus\+http://127\.0\.0\.1:9/photos cannot be reached"):
        MilvusIndex("milvus+http://127.0.0.1:9/photos", "ab" * 32, SIZE)
