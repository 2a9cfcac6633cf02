from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch.vectors import faiss_index
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError
from pixsearch.vectors.vector_index import Ids, Vectors
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


def in_many_lists(monkeypatch: pytest.MonkeyPatch, vectors: Vectors) -> FaissIndex:
    """Return an empty index designed for these vectors, with one list for every ten."""
    monkeypatch.setattr(faiss_index, "EXACT_LIMIT", 100)
    monkeypatch.setattr(faiss_index, "VECTORS_PER_LIST", 10)
    monkeypatch.setattr(faiss_index, "POINTS_PER_CENTROID", 5)
    return FaissIndex.fitting(len(vectors), vectors.shape[1], lambda count: vectors[:count])


def test_the_nearest_are_those_of_brute_force_in_values_and_order() -> None:
    vectors, queries = unit_vectors(1000), unit_vectors(20, seed=1)
    ids = np.arange(1000) * 7 + 3
    index = FaissIndex.empty(SIZE)
    index.add(ids, vectors)

    similarities, found = index.search(queries, 50)

    exact = queries @ vectors.T
    best = np.argsort(-exact, axis=1)[:, :50]
    assert similarities == pytest.approx(np.take_along_axis(exact, best, axis=1), abs=1e-3)  # 16 bits per number
    assert np.take_along_axis(exact, (found - 3) // 7, axis=1) == pytest.approx(similarities, abs=1e-3)


def test_most_of_the_nearest_are_found_in_a_share_of_many_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    queries = unit_vectors(50, seed=1)
    vectors = np.repeat(queries, 40, axis=0) + 0.1 * rng.standard_normal((2000, SIZE), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = in_many_lists(monkeypatch, vectors)
    index.add(np.arange(2000), vectors)

    similarities, found = index.search(queries, 10)

    exact = queries @ vectors.T
    tenth = np.sort(exact, axis=1)[:, -10:-9]
    assert (similarities >= tenth - 1e-3).mean() >= 0.98
    assert np.take_along_axis(exact, found, axis=1) == pytest.approx(similarities, abs=1e-3)


def test_more_neighbours_than_the_searched_lists_hold_are_looked_for_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_vectors(200)
    index = in_many_lists(monkeypatch, vectors)
    index.add(np.arange(200), vectors)

    similarities, found = index.search(unit_vectors(1, seed=1), 150)

    exact = np.sort(unit_vectors(1, seed=1) @ vectors.T, axis=1)[:, ::-1]
    assert similarities == pytest.approx(exact[:, :150], abs=1e-3)
    assert len(set(found[0].tolist())) == 150


def test_in_many_lists_each_id_leads_to_its_own_vector_after_removals_and_saving(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vectors = unit_vectors(300)
    index = in_many_lists(monkeypatch, vectors)
    index.add(np.arange(1000, 1200), vectors[:200])
    assert index.remove(np.arange(1000, 1200, 2)) == 100
    index.add(np.arange(1200, 1300), vectors[200:])
    loaded = FaissIndex.load(tmp_path / "index", index.save(tmp_path / "index"))

    expected = sorted({*range(1001, 1200, 2), *range(1200, 1300)})
    assert sorted(loaded.ids().tolist()) == expected
    for ids, found in loaded.parts():
        assert found == pytest.approx(vectors[ids - 1000], abs=1e-3)
    for id_ in expected:
        assert loaded.search(vectors[[id_ - 1000]], 1)[1][0, 0] == id_


@pytest.mark.parametrize("many_lists", [False, True])
def test_among_some_ids_the_nearest_are_found_however_far_they_are(
    monkeypatch: pytest.MonkeyPatch, many_lists: bool
) -> None:
    vectors, queries = unit_vectors(200), unit_vectors(3, seed=1)
    index = in_many_lists(monkeypatch, vectors) if many_lists else FaissIndex.empty(SIZE)
    index.add(np.arange(200), vectors)
    among = np.array([5, 17, 100, 150, 4000])

    similarities, found = index.search(queries, 10, among)

    exact = queries @ vectors[among[:4]].T
    assert found.tolist() == among[np.argsort(-exact, axis=1)].tolist()
    assert similarities == pytest.approx(-np.sort(-exact, axis=1), abs=1e-3)
    assert index.search(queries, 10, among[:0])[1].shape == (3, 0)


def test_an_index_of_half_or_twice_as_many_vectors_needs_to_be_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_vectors(1000)
    index = in_many_lists(monkeypatch, vectors[:400])
    worn = []
    for start in range(0, 1000, 100):
        index.add(np.arange(start, start + 100), vectors[start : start + 100])
        worn.append(index.needs_rebuild())

    #               100   200    300    400    500    600    700    800    900   1000
    assert worn == [True, False, False, False, False, False, False, False, True, True]


def test_one_list_is_kept_up_to_twice_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_index, "EXACT_LIMIT", 100)
    monkeypatch.setattr(faiss_index, "VECTORS_PER_LIST", 10)

    assert not filled(np.arange(199)).needs_rebuild()
    assert filled(np.arange(200)).needs_rebuild()
    assert not FaissIndex.empty(SIZE).needs_rebuild()


class GpuCopy:
    """Stands in for the result of faiss.index_cpu_to_gpu: a different index with the same vectors, which cannot be
    saved.
    """

    def __init__(self, index: object) -> None:
        self.index, self.searches = index, 0

    def search(self, *arguments: object) -> object:
        self.searches += 1
        return self.index.search(*arguments)  # type: ignore[attr-defined]


@pytest.fixture
def gpu_copies(monkeypatch: pytest.MonkeyPatch) -> list[GpuCopy]:
    """Pretend that there is a GPU, and return the list of copies made on it."""
    copies: list[GpuCopy] = []

    def copy(_resources: object, _device: int, index: object) -> GpuCopy:
        copies.append(GpuCopy(index))
        return copies[-1]

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", copy, raising=False)
    return copies


def test_a_gpu_answers_from_the_second_search_on_and_the_file_comes_from_the_cpu(
    monkeypatch: pytest.MonkeyPatch, gpu_copies: list[GpuCopy], tmp_path: Path
) -> None:
    vectors = unit_vectors(200)
    with monkeypatch.context() as without_gpu:
        without_gpu.setattr(faiss, "get_num_gpus", lambda: 0)
        index = in_many_lists(monkeypatch, vectors)
    index.add(np.arange(200), vectors)

    for _ in range(3):
        index.search(vectors[:1], 5)
    assert [copy.searches for copy in gpu_copies] == [2]
    index.remove(np.array([0]))
    index.search(vectors[:1], 5)
    assert [copy.searches for copy in gpu_copies] == [2, 1]
    assert len(FaissIndex.load(tmp_path / "index", index.save(tmp_path / "index"))) == 199


def test_a_gpu_is_left_alone_by_an_index_in_one_list(gpu_copies: list[GpuCopy]) -> None:
    index = filled(np.arange(100))

    for _ in range(3):
        index.search(unit_vectors(1), 5)
    assert gpu_copies == []


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

    with pytest.raises(ValueError, match="must be finite"):
        index.add(np.array([1, 2]), vectors)
    assert len(index) == 0


def test_a_query_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="must be finite"):
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


def flipped(share: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        at = int(share * (len(data) - 1))
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


def test_a_file_of_another_kind_of_index_is_noticed(tmp_path: Path) -> None:
    other = faiss.serialize_index(faiss.IndexFlatIP(SIZE)).tobytes()
    (tmp_path / "index").write_bytes(other)

    with pytest.raises(StaleIndexError, match="not the expected kind"):
        FaissIndex.load(tmp_path / "index", hashlib.sha256(other).hexdigest())


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(StaleIndexError, match="No such file"):
        FaissIndex.load(tmp_path / "index", "0" * 64)


@pytest.mark.parametrize("name", ["folder", os.fsdecode(b"caf\xe9")])
def test_an_index_that_stays_in_its_file_answers_the_same(tmp_path: Path, name: str) -> None:
    index, queries = filled(np.arange(50)), unit_vectors(5, seed=1)
    folder = tmp_path / name
    folder.mkdir()
    sha256 = index.save(folder / "index")

    mapped = FaissIndex.load(folder / "index", sha256, read_only=True)

    assert (mapped.search(queries, 10)[1] == index.search(queries, 10)[1]).all()
    assert mapped.ids().tolist() == list(range(50))
    (ids, vectors), *_ = mapped.parts()
    assert vectors == pytest.approx(unit_vectors(50)[ids], abs=1e-3)  # 16 bits per number


def test_an_index_that_stays_in_its_file_is_as_it_was_saved_or_not_at_all(tmp_path: Path) -> None:
    sha256 = filled(np.arange(50)).save(tmp_path / "index")
    whole = (tmp_path / "index").read_bytes()

    for damaged in (b"", whole[:-1], whole + b"\0", bytes([whole[0] ^ 1]) + whole[1:]):
        (tmp_path / "index").write_bytes(damaged)
        with pytest.raises(StaleIndexError):
            FaissIndex.load(tmp_path / "index", sha256, read_only=True)
