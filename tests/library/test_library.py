from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.exc import IntegrityError

from pixsearch import Library
from pixsearch.database.schema import LOOK_AGAIN
from pixsearch.database.state import LibraryModel
from pixsearch.errors import LibraryDamaged, LibraryError, LibraryNotFound, ModelMismatch
from pixsearch.library.records import FailedFile, IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp, path_bytes
from tests.conftest import without_privileges
from tests.database import SQLITE_ONLY, sql
from tests.test_durable import files_no_larger_than

MODEL = LibraryModel("aa" * 32, "some model", 3)
STAMP = FileStamp(10, 20)


def content(digest: bytes, embedding: tuple[float, float, float] = (1, 0, 0)) -> NewContent:
    return NewContent(digest, 10, Metadata("JPEG", 4, 3), np.array(embedding, dtype=np.float32), b"grid of " + digest)


def fill(library: Library, files: dict[str, bytes], root: str = "/photos") -> None:
    """Store these files, given by path with the digest of their content."""
    with library.writing() as writer:
        writer.use_model(MODEL)
        new = sorted(set(files.values()) - writer.encoded_among(files.values()))
        indexed = [IndexedFile(os.fsencode(path), STAMP, digest) for path, digest in files.items()]
        writer.store(writer.root_of(os.fsencode(root))[0], [content(digest) for digest in new], indexed, [])


def test_opening_a_library_that_is_not_there_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(LibraryNotFound, match="pixsearch index"):
        Library.open(tmp_path / "library")

    assert list(tmp_path.iterdir()) == []


def test_a_library_is_made_once_and_then_opened(tmp_path: Path) -> None:
    with Library.create(tmp_path / "new" / "library") as library:
        fill(library, {"/photos/a.jpg": b"a"})
    with Library.create(tmp_path / "new" / "library") as again:
        assert again.status().photos == 1


@SQLITE_ONLY
def test_the_database_is_sound_and_keeps_the_rollback_journal(library: Library) -> None:
    fill(library, {"/photos/a.jpg": b"a"})

    assert sql(library, "PRAGMA integrity_check") == [("ok",)]
    assert sql(library, "PRAGMA foreign_key_check") == []
    assert sql(library, "PRAGMA journal_mode") == [("delete",)]


def damaged_header(data: bytes) -> bytes:
    return b"rubbish" + data[7:]


def damaged_tables(data: bytes) -> bytes:
    return data[:100] + bytes(len(data) - 100)


@SQLITE_ONLY
@pytest.mark.parametrize("damage", [damaged_header, damaged_tables, lambda data: data[:5000], lambda _: b"a text file"])
def test_a_damaged_database_is_named_with_advice_and_left_as_it_is(
    library: Library, damage: Callable[[bytes], bytes]
) -> None:
    fill(library, {"/photos/a.jpg": b"a"})
    library.close()
    database = library.folder / "library.db"
    bad = damage(database.read_bytes())
    database.write_bytes(bad)

    for opened in (Library.open, Library.create):
        with pytest.raises(LibraryDamaged, match=r"pixsearch repair|another folder"):
            opened(library.folder)
    assert database.read_bytes() == bad


@SQLITE_ONLY
def test_a_database_of_a_newer_pixsearch_is_refused_and_left_as_it_is(library: Library) -> None:
    sql(library, "UPDATE alembic_version SET version_num = '9999'")
    before = (library.folder / "library.db").read_bytes()

    for opened in (Library.open, Library.create):
        with pytest.raises(LibraryDamaged, match=r"newer pixsearch.*Upgrade"):
            opened(library.folder)
    assert (library.folder / "library.db").read_bytes() == before


@pytest.mark.parametrize("script", ["", "CREATE TABLE passing (id); DROP TABLE passing"])
def test_a_library_whose_making_was_cut_off_is_not_there_yet_and_can_be_made(tmp_path: Path, script: str) -> None:
    sqlite3.connect(tmp_path / "library.db").executescript(script).connection.close()

    with pytest.raises(LibraryNotFound):
        Library.open(tmp_path)
    with Library.create(tmp_path) as library:
        assert library.status().photos == 0


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "library.db").execute("CREATE TABLE recipes (id)").connection.close()

    with pytest.raises(LibraryDamaged, match="is not a pixsearch library"):
        Library.open(tmp_path)


def test_a_library_cannot_be_made_where_one_may_not_write(public_folder: Path) -> None:
    public_folder.chmod(0o555)

    with without_privileges(), pytest.raises(LibraryError, match="--library"):
        Library.create(public_folder / "library")


@SQLITE_ONLY
def test_a_full_disk_is_one_clear_error_and_keeps_what_was_stored(library: Library) -> None:
    fill(library, {"/photos/a.jpg": b"a"})
    large = {f"/photos/{number}.jpg": bytes([number]) * 9000 for number in range(100)}

    size = (library.folder / "library.db").stat().st_size
    with files_no_larger_than(size + 50_000), pytest.raises(LibraryError, match=r"disk"):
        fill(library, large)

    assert sql(library, "PRAGMA integrity_check") == [("ok",)]
    assert [photo.paths for photo in library.candidates([1])] == [(Path("/photos/a.jpg"),)]
    assert library.status().photos == 1


def test_a_candidate_carries_all_that_a_hit_needs(library: Library) -> None:
    with library.writing() as writer:
        writer.use_model(MODEL)
        writer.store(
            writer.root_of(b"/photos")[0], [content(b"a", (0, 1, 0))], [IndexedFile(b"/photos/a", STAMP, b"a")], []
        )

    [candidate] = library.candidates([1])

    assert candidate.paths == (Path("/photos/a"),)
    assert candidate.metadata == Metadata("JPEG", 4, 3)
    assert candidate.embedding.tolist() == [0, 1, 0]
    assert library.grids([1, 2]) == {1: b"grid of a"}


def test_candidates_come_in_the_order_asked_for_without_those_that_are_gone(library: Library) -> None:
    fill(library, {"/photos/a": b"a", "/photos/b": b"b", "/photos/c": b"c"})
    with library.writing() as writer:
        writer.use_model(MODEL)
        writer.forget([b"/photos/b"])

    found = library.candidates([3, 99, 2, 1])

    assert [candidate.content_id for candidate in found] == [3, 1]


def test_more_candidates_than_one_statement_takes_can_be_asked_for(library: Library) -> None:
    fill(library, {"/photos/a": b"a"})

    assert len(library.candidates(list(range(50_000)))) == 1


def test_copies_of_a_picture_are_one_candidate_that_can_be_reached_first(library: Library) -> None:
    fill(library, {"/drive/a.jpg": b"a"}, root="/drive")
    fill(library, {"/photos/b.jpg": b"a", "/photos/c.jpg": b"a"})
    with library.writing() as writer:
        writer.mark_root(b"/drive", online=False)

    [candidate] = library.candidates([1])

    assert candidate.paths == (Path("/photos/b.jpg"), Path("/photos/c.jpg"), Path("/drive/a.jpg"))


def test_the_id_of_a_forgotten_picture_is_never_given_to_another(library: Library) -> None:
    fill(library, {"/photos/a": b"a"})
    with library.writing() as writer:
        writer.use_model(MODEL)
        writer.forget([b"/photos/a"])
        writer.drop_unused_contents()
    fill(library, {"/photos/b": b"b"})

    assert library.candidates([1]) == []
    assert [candidate.paths for candidate in library.candidates([2])] == [(Path("/photos/b"),)]


def test_a_name_that_is_no_valid_text_comes_back_as_it_was(library: Library) -> None:
    name = os.fsdecode(b"/photos/\xff\xfe.jpg")

    fill(library, {name: b"a"})

    [candidate] = library.candidates([1])
    assert path_bytes(candidate.paths[0]) == b"/photos/\xff\xfe.jpg"


def test_a_failed_file_is_listed_with_its_reason_until_it_is_indexed(library: Library) -> None:
    with library.writing() as writer:
        writer.use_model(MODEL)
        writer.store(writer.root_of(b"/photos")[0], [], [], [FailedFile(b"/photos/a.jpg", STAMP, "the file is empty")])
    [failure] = library.failures()
    fill(library, {"/photos/a.jpg": b"a"})

    assert (failure.path, failure.reason) == (Path("/photos/a.jpg"), "the file is empty")
    assert library.failures() == []


def test_a_transaction_that_fails_leaves_nothing_behind(library: Library) -> None:
    with library.writing() as writer:
        writer.use_model(MODEL)
        root = writer.root_of(b"/photos")[0]
        with pytest.raises(IntegrityError):
            writer.store(root, [content(b"a")], [IndexedFile(b"/photos/a", STAMP, b"a")] * 2, [])

    assert library.status().contents == 0


def test_features_of_two_models_never_mix(library: Library) -> None:
    fill(library, {"/photos/a": b"a"})
    other = LibraryModel("bb" * 32, "another model", 3)

    with pytest.raises(ModelMismatch, match=r"some model.*--model"), library.writing() as writer:
        writer.use_model(other)
    assert library.model() == MODEL

    with library.writing() as writer:
        writer.use_model(other, switch=True)
    assert list(library.known_photos(b"/photos")) == [[(b"/photos/a", LOOK_AGAIN, STAMP.mtime_ns, None)]]
    assert library.model() == other
    assert len(library.vectors()) == 0


def test_a_library_without_features_takes_any_model(library: Library) -> None:
    with library.writing() as writer:
        writer.use_model(LibraryModel("bb" * 32, "another model", 512))
        writer.use_model(MODEL)

    assert library.model() == MODEL


@SQLITE_ONLY
def test_status_counts_what_is_there(library: Library, photos: Path) -> None:
    fill(library, {f"{photos}/a.jpg": b"a", f"{photos}/b.jpg": b"a"}, root=str(photos))
    gone = photos.with_name("gone")
    fill(library, {f"{gone}/c.jpg": b"c"}, root=str(gone))

    status = library.status()

    assert [(root.path, root.online, root.photos) for root in status.roots] == [
        (gone, False, 1),
        (photos, True, 2),
    ]
    assert (status.photos, status.contents, status.failures) == (3, 2, 0)
    assert status.model == MODEL
    assert status.size_bytes == sum(file.stat().st_size for file in library.folder.iterdir())


def test_captions_come_from_the_text_beside_a_photo_and_from_its_own_metadata(library: Library, photos: Path) -> None:
    (photos / "a.txt").write_text("a cat\n\n  on a mat \n")
    (photos / "a.jpg.txt").write_bytes("un café\na cat".encode())
    described = NewContent(
        b"b", 1, Metadata("JPEG", 1, 1, title="Rome", caption="A temple"), np.ones(3, np.float32), b""
    )
    with library.writing() as writer:
        writer.use_model(MODEL)
        files = [
            IndexedFile(os.fsencode(photos / name), STAMP, name[:1].encode()) for name in ("a.jpg", "b.jpg", "c.jpg")
        ]
        writer.store(writer.root_of(os.fsencode(photos))[0], [content(b"a"), described, content(b"c")], files, [])

    captions = {photo.path.name: photo.captions for photo in library.captioned_photos()}

    assert captions == {"a.jpg": ("a cat", "on a mat", "un café"), "b.jpg": ("A temple", "Rome")}
