"""Test that answers are right whatever happens to the vector file, because it is derived from library.db."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from pixsearch import Library
from pixsearch.database.state import LibraryModel
from pixsearch.errors import LibraryNotFound
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.library.writer import LibraryWriter
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp
from pixsearch.vectors import faiss_index
from tests.conftest import without_privileges
from tests.database import SQLITE_ONLY, VECTOR_FILE, sql
from tests.photos import picture_bytes
from tests.test_durable import files_no_larger_than
from tests.unsuitable_files import UNSUITABLE, in_time

SIZE = 8
MODEL = LibraryModel("aa" * 32, "some model", SIZE)


def add_photos(library: Library, count: int, seed: int = 0) -> None:
    with library.writing() as writer:
        store_photos(writer, count, seed)


def store_photos(writer: LibraryWriter, count: int, seed: int) -> None:
    """Store photos with random embeddings that depend on the seed."""
    vectors = np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)
    writer.use_model(MODEL)
    digests = [b"%d of %d" % (number, seed) for number in range(count)]
    contents = [
        NewContent(digest, 1, Metadata("PNG", 1, 1), vector / np.linalg.norm(vector), b"grid")
        for digest, vector in zip(digests, vectors, strict=True)
    ]
    files = [IndexedFile(b"/photos/" + digest, FileStamp(1, 1), digest) for digest in digests]
    writer.store(writer.root_of(b"/photos")[0], contents, files, [])


def vector_file(library: Library) -> Path:
    """Return the path of the only vector file."""
    [path] = library.folder.glob("vectors-*")
    return path


def lists_in(path: Path) -> int:
    index = faiss.read_index(str(path))
    assert isinstance(index, faiss.IndexIVF)
    return index.nlist


def assert_answers_are_right(library: Library) -> None:
    """Compare a search with a brute-force search over the embeddings, which are read with plain SQL."""
    rows = sql(library, "SELECT content_id, embedding FROM features")
    ids = np.array([id_ for id_, _ in rows])
    embeddings = np.stack([np.frombuffer(blob, dtype="<f4") for _, blob in rows])
    query = np.ones((1, SIZE), dtype=np.float32)
    exact = (embeddings @ query[0]).astype(np.float32)

    similarities, found = library.vectors().search(query, 5)

    assert similarities[0] == pytest.approx(np.sort(exact)[::-1][:5], abs=1e-3)
    assert [exact[ids == id_][0] for id_ in found[0]] == pytest.approx(similarities[0], abs=1e-3)
    assert sorted(library.vectors().ids()) == sorted(ids)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def put_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "flipped": flip_a_bit,
    "another file": lambda path: path.write_bytes(picture_bytes()),
    "a folder": put_a_folder_there,
}


@VECTOR_FILE
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_vector_file_that_is_not_right_is_made_again(library: Library, damage: Callable[[Path], object]) -> None:
    add_photos(library, 50)
    damage(vector_file(library))

    with Library.open(library.location) as reader:
        assert_answers_are_right(reader)


@VECTOR_FILE
def test_a_vector_file_cut_at_any_length_is_made_again(library: Library) -> None:
    add_photos(library, 50)
    whole = vector_file(library).read_bytes()

    for length in np.random.default_rng(0).integers(0, len(whole), 50).tolist():
        vector_file(library).write_bytes(whole[:length])
        with Library.open(library.location) as reader:
            assert_answers_are_right(reader)
        assert vector_file(library).read_bytes() == whole


@VECTOR_FILE
def test_the_vector_file_made_again_is_there_for_the_next_reader(library: Library) -> None:
    add_photos(library, 50)
    whole = vector_file(library).read_bytes()
    vector_file(library).unlink()

    with Library.open(library.location) as reader:
        reader.vectors()

    assert vector_file(library).read_bytes() == whole


@SQLITE_ONLY
def test_a_vector_file_of_another_moment_is_not_believed(library: Library, tmp_path: Path) -> None:
    add_photos(library, 50)
    old_file = shutil.copy(vector_file(library), tmp_path / "old")
    old_database = shutil.copy(library.folder / "library.db", tmp_path / "old.db")
    add_photos(library, 50, seed=1)
    new_file = shutil.copy(vector_file(library), tmp_path / "new")
    new_name = vector_file(library)

    shutil.copy(old_file, new_name)
    with Library.open(library.location) as reader:
        assert_answers_are_right(reader)

    shutil.copy(old_database, library.folder / "library.db")
    shutil.copy(new_file, new_name)
    with Library.open(library.location) as reader:
        assert_answers_are_right(reader)


@VECTOR_FILE
def test_a_run_that_ended_before_the_vectors_were_saved_loses_nothing(library: Library) -> None:
    add_photos(library, 50)

    def interrupted_run() -> None:
        with library.writing() as writer:
            store_photos(writer, 50, seed=1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_run()

    assert_answers_are_right(library)
    assert len(library.vectors()) == 100


@VECTOR_FILE
def test_an_open_library_sees_what_was_added_and_forgotten_since(library: Library) -> None:
    add_photos(library, 50)
    with Library.open(library.location) as reader:
        reader.vectors()
        add_photos(library, 50, seed=1)
        assert_answers_are_right(reader)
        with library.writing() as writer:
            writer.use_model(MODEL)
            writer.forget([b"/photos/%d of 0" % number for number in range(40)])
            writer.drop_unused_contents()
        assert_answers_are_right(reader)
        assert len(reader.vectors()) == 60


@VECTOR_FILE
def test_only_the_vector_file_in_use_is_kept(library: Library) -> None:
    for seed in range(3):
        add_photos(library, 10, seed)

    assert vector_file(library).name.endswith(".faiss")


def test_in_a_folder_without_write_permission_the_vectors_are_made_in_memory(public_folder: Path) -> None:
    with Library.create(public_folder / "library") as library:
        add_photos(library, 50)
        vector_file(library).unlink()
    (public_folder / "library" / "library.db").chmod(0o444)
    (public_folder / "library").chmod(0o555)

    with without_privileges(), Library.open(public_folder / "library") as reader:
        assert_answers_are_right(reader)
    assert list((public_folder / "library").glob("vectors-*")) == []


@VECTOR_FILE
def test_while_somebody_writes_the_vectors_are_made_in_memory(library: Library) -> None:
    add_photos(library, 50)
    vector_file(library).unlink()

    with library.writing(), Library.open(library.location) as reader:
        assert_answers_are_right(reader)
    assert list(library.folder.glob("vectors-*")) == []


@VECTOR_FILE
def test_a_reader_on_a_full_disk_still_answers(library: Library) -> None:
    add_photos(library, 50)
    vector_file(library).unlink()

    with files_no_larger_than(500), Library.open(library.location) as reader:
        assert_answers_are_right(reader)


@VECTOR_FILE
def test_a_library_that_outgrew_one_list_gets_many_when_it_is_written_next(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photos(library, 60)
    assert lists_in(vector_file(library)) == 1
    monkeypatch.setattr(faiss_index, "EXACT_LIMIT", 50)
    monkeypatch.setattr(faiss_index, "VECTORS_PER_LIST", 10)
    monkeypatch.setattr(faiss_index, "POINTS_PER_CENTROID", 1)
    monkeypatch.setattr(faiss_index, "SHARE_SEARCHED", 1.0)

    add_photos(library, 60, seed=1)

    assert lists_in(vector_file(library)) == 12
    with Library.open(library.location) as reader:
        assert_answers_are_right(reader)
    vector_file(library).unlink()
    with Library.open(library.location) as reader:
        assert_answers_are_right(reader)


@VECTOR_FILE
def test_a_library_that_nothing_was_indexed_into_has_no_vectors(library: Library) -> None:
    with pytest.raises(LibraryNotFound, match="pixsearch index"):
        library.vectors()


@SQLITE_ONLY
def test_what_somebody_planted_for_a_query_to_write_to_stays_as_it_is(library: Library, tmp_path: Path) -> None:
    add_photos(library, 20)
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    file = vector_file(library)
    file.unlink()
    for name in (file.name, f"{file.name}.tmp"):
        (library.folder / name).symlink_to(precious)

    with Library.open(library.folder) as reader:
        assert len(reader.vectors()) == 20

    assert precious.read_bytes() == b"precious"
    assert (vector_file(library).is_file(), vector_file(library).is_symlink()) == (True, False)


@SQLITE_ONLY
@pytest.mark.parametrize("kind", UNSUITABLE)
def test_in_the_place_of_the_vector_file_nothing_is_waited_for(library: Library, kind: str) -> None:
    add_photos(library, 20)
    UNSUITABLE[kind](vector_file(library))

    with in_time(), Library.open(library.folder) as reader:
        assert len(reader.vectors()) == 20
