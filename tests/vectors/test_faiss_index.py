from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch.vectors.base import Ids, Vectors
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError
from tests.photos import picture_bytes

SIZE = 16


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def filled(ids: Ids) -> FaissIndex:
    index = FaissIndex.empty(SIZE)
    index.add(ids, unit_vectors(len(ids)))
    return index


def test_the_nearest_are_those_of_brute_force_in_values_and_order() -> None:
    vectors, queries = unit_vectors(1000), unit_vectors(20, seed=1)
    ids = np.arange(1000) * 7 + 3
    index = FaissIndex.empty(SIZE)
    index.add(ids, vectors)

    similarities, found = index.search(queries, 50)

    exact = queries @ vectors.T
    best = np.argsort(-exact, axis=1)[:, :50]
    assert similarities == pytest.approx(np.take_along_axis(exact, best, axis=1), abs=1e-3)  # 16 bits a number
    assert np.take_along_axis(exact, (found - 3) // 7, axis=1) == pytest.approx(similarities, abs=1e-3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 30), max_size=8)), max_size=12))
def test_after_any_adds_and_removals_each_id_leads_to_its_own_vector(steps: list[tuple[bool, set[int]]]) -> None:
    all_vectors = unit_vectors(31)
    index, present = FaissIndex.empty(SIZE), set[int]()
    for adds, chosen in steps:
        ids = np.array(sorted(chosen - present if adds else chosen), dtype=np.int64)
        if adds:
            index.add(ids, all_vectors[ids])
            present |= chosen
        else:
            assert index.remove(ids) == len(present & chosen)
            present -= chosen

    assert sorted(index.ids().tolist()) == sorted(present)
    assert len(index) == len(present)
    for id_ in present:
        similarities, found = index.search(all_vectors[[id_]], 1)
        assert found[0, 0] == id_
        assert similarities[0, 0] == pytest.approx(1.0, abs=1e-3)


def test_more_neighbours_than_vectors_gives_all_vectors_and_no_made_up_id() -> None:
    _, found = filled(np.array([4, 9])).search(unit_vectors(1), 10)
    _, nothing = FaissIndex.empty(SIZE).search(unit_vectors(1), 10)

    assert sorted(found[0].tolist()) == [4, 9]
    assert nothing.shape == (1, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_zeros_infinities_and_nan_never_get_in(bad: float) -> None:
    index = FaissIndex.empty(SIZE)
    vectors = unit_vectors(2)
    vectors[1] = bad

    with pytest.raises(ValueError, match="not finite"):
        index.add(np.array([1, 2]), vectors)
    assert len(index) == 0


def test_a_query_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        filled(np.array([1])).search(np.full((1, SIZE), np.nan, dtype=np.float32), 1)


def test_an_id_cannot_be_taken_twice() -> None:
    index = filled(np.array([1, 2]))

    for ids in ([2, 3], [5, 5]):
        with pytest.raises(ValueError, match="already"):
            index.add(np.array(ids), unit_vectors(2))
    assert len(index) == 2


def test_a_saved_index_answers_as_before(tmp_path: Path) -> None:
    index = filled(np.arange(100))
    index.remove(np.arange(0, 100, 3))
    queries = unit_vectors(5, seed=1)

    loaded = FaissIndex.load(tmp_path / "index", index.save(tmp_path / "index"))

    (similarities, ids), (same_similarities, same_ids) = index.search(queries, 10), loaded.search(queries, 10)
    assert np.array_equal(similarities, same_similarities)
    assert np.array_equal(ids, same_ids)


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(len(data) * share)]


def flipped(place: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        at = int(place * (len(data) - 1))
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return flip


@pytest.mark.parametrize(
    "damage",
    [
        *(cut(share) for share in (0, 0.01, 0.5, 0.99)),
        *(flipped(tenth / 10) for tenth in range(11)),
        lambda data: data + b"x",
        lambda _: picture_bytes(),
    ],
)
def test_a_file_that_is_not_the_one_that_was_saved_is_noticed(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "index"
    sha256 = filled(np.arange(100)).save(path)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(StaleIndexError):
        FaissIndex.load(path, sha256)


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(StaleIndexError, match="No such file"):
        FaissIndex.load(tmp_path / "index", "0" * 64)
