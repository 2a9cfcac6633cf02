"""Test that the database and Milvus stay consistent wherever a run is interrupted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pixsearch import Filters, Library
from pixsearch.database.state import LibraryModel
from pixsearch.errors import LibraryError
from pixsearch.library import outbox
from pixsearch.library.records import IndexedFile
from pixsearch.vectors.milvus_index import MilvusIndex
from pixsearch_indexer.verify import repair, verify
from tests.database import sql
from tests.library.test_library import MODEL, STAMP, content, fill

pytestmark = pytest.mark.slow


@pytest.fixture
def service(milvus: str) -> str:
    return f"{milvus}photos_{uuid.uuid4().hex}"


@pytest.fixture
def library(tmp_path: Path, service: str) -> Iterator[Library]:
    with Library.create(tmp_path / "library") as new:
        fill(new, {"/photos/a.jpg": b"a", "/photos/b.jpg": b"b"})
        with new.writing() as writer:
            writer.use_model(MODEL)
            writer.use_vectors(service)
        yield new


def in_milvus(service: str) -> list[int]:
    """Return the ids stored in Milvus, bypassing the library."""
    index = MilvusIndex(service, MODEL.fingerprint, MODEL.embedding_size)
    found = sorted(index.ids().tolist())
    index.close()
    return found


def test_a_library_that_moves_to_milvus_brings_what_it_has(library: Library, service: str) -> None:
    assert in_milvus(service) == [1, 2]
    assert library.nearest(np.array([1, 0, 0], np.float32), 5) in ([1, 2], [2, 1])


def test_what_comes_and_goes_is_told(library: Library, service: str) -> None:
    fill(library, {"/photos/c.jpg": b"c"})
    with library.writing() as writer:
        writer.forget([b"/photos/a.jpg"])
        writer.drop_unused_contents()

    assert in_milvus(service) == [2, 3]
    assert sql(library, "SELECT * FROM vector_outbox") == []


def test_what_could_not_be_told_is_told_by_the_next_run(
    library: Library, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> None:
        raise LibraryError("the server is away")

    with monkeypatch.context() as away:
        away.setattr(MilvusIndex, "put", cannot)
        with pytest.raises(LibraryError, match="the server is away"):
            fill(library, {"/photos/c.jpg": b"c"})
    assert in_milvus(service) == [1, 2]
    assert verify(library).problems == []  # the change is recorded as pending

    with library.writing():
        pass

    assert in_milvus(service) == [1, 2, 3]


def test_what_was_told_and_not_struck_out_may_be_told_again(
    library: Library, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(outbox, "_mark_delivered", cut_off)
        with pytest.raises(KeyboardInterrupt):
            fill(library, {"/photos/c.jpg": b"c"})
    assert in_milvus(service) == [1, 2, 3]
    assert len(sql(library, "SELECT * FROM vector_outbox")) == 1

    with library.writing():
        pass

    assert in_milvus(service) == [1, 2, 3]
    assert sql(library, "SELECT * FROM vector_outbox") == []


def test_a_difference_that_nobody_knows_of_is_found_and_repaired(library: Library, service: str) -> None:
    index = MilvusIndex(service, MODEL.fingerprint, MODEL.embedding_size)
    index.remove(np.array([1]))
    [orphan], [other] = np.eye(3, dtype=np.float32)[:1], np.eye(3, dtype=np.float32)[1:2]
    index.put([99], orphan[np.newaxis], [[library.candidates([2])[0].metadata]])

    assert verify(library).problems == [f"{service} does not match the library: 2 ids differ"]
    repair(library)
    assert in_milvus(service) == [1, 2]

    index.put([2], other[np.newaxis], [[library.candidates([2])[0].metadata]])
    assert verify(library).problems == [f"{service} does not match the library: 1 vector differs"]
    found, left = repair(library)
    assert (len(found.problems), left.problems) == (1, [])


def test_filters_that_milvus_cannot_judge_are_judged_of_what_it_finds(library: Library) -> None:
    fill(library, {f"/photos/more {number}.jpg": b"%d" % number for number in range(40)})
    wanted = Filters(name="b.jpg")

    assert library.nearest(np.array([1, 0, 0], np.float32), 3, wanted) == [2]


def test_what_alone_passes_is_found_however_far_from_the_query(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(library, {f"/photos/more {number}.jpg": b"%d" % number for number in range(40)})
    with library.writing() as writer:
        writer.use_model(MODEL)
        far = [IndexedFile(b"/photos/far.jpg", STAMP, b"far")]
        writer.store(writer.root_of(b"/photos")[0], [content(b"far", (0, 1, 0))], far, [])
    monkeypatch.setattr(MilvusIndex, "max_results", 8)
    wanted = Filters(name="far.jpg")

    assert library.nearest(np.array([1, 0, 0], np.float32), 3, wanted) == library.passing(wanted) != []


def test_a_library_may_come_back_to_a_file(library: Library, service: str) -> None:
    with library.writing() as writer:
        writer.use_model(MODEL)
        writer.use_vectors(None)
    fill(library, {"/photos/c.jpg": b"c"})

    assert sorted(library.vectors().ids().tolist()) == [1, 2, 3]
    assert list(library.folder.glob("vectors-*")) != []
    assert in_milvus(service) == [1, 2]


def test_another_model_has_a_collection_of_its_own(library: Library, service: str) -> None:
    other = LibraryModel("bb" * 32, "another model", 3)
    with library.writing() as writer:
        writer.use_model(other, switch=True)

    assert library.vectors().ids().tolist() == []
    assert library.model() == other
