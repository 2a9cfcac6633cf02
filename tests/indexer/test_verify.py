from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from pixsearch import Library
from pixsearch.database.schema import FEATURES, TEXT_FEATURES
from pixsearch.errors import LibraryDamaged
from pixsearch.library.checks import Findings
from pixsearch_indexer import IndexReport, index_folders
from pixsearch_indexer.verify import repair, verify
from tests.colour_runtime import ColourRuntime
from tests.conftest import without_privileges
from tests.database import SQLITE_ONLY, VECTOR_FILE, put, sql
from tests.photos import make_photo, picture_bytes


def vector_file(library: Library) -> Path:
    [path] = library.folder.glob("vectors-*")
    return path


def assert_repaired_and_whole_after_the_next_run(
    library: Library, runtime: ColourRuntime, photos: Path, encoded: int
) -> None:
    found, left = repair(library, deep=True)
    report = index_folders(library, runtime, [photos])

    assert found.problems
    assert left.problems == []
    assert report.encoded == encoded
    assert verify(library, deep=True) == Findings(photos=5)
    _, ids = library.vectors().search(runtime.embed_texts(["blue"]), 1)
    assert [path.name for path in library.candidates(ids[0].tolist())[0].paths] == ["blue.png"]


def test_a_sound_library_has_no_problem(indexed: Library) -> None:
    assert verify(indexed, deep=True) == Findings(photos=5)


def test_an_embedding_that_is_not_finite_is_found_and_encoded_again(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    put(indexed, FEATURES, FEATURES.c.content_id == 2, embedding=np.full(3, np.nan, "<f4").tobytes())

    assert any("content 2 is not finite" in problem for problem in verify(indexed).problems)
    assert_repaired_and_whole_after_the_next_run(indexed, runtime, photos, encoded=1)


def test_an_embedding_of_the_wrong_size_or_length_is_found(indexed: Library) -> None:
    put(indexed, FEATURES, FEATURES.c.content_id == 2, embedding=np.zeros(2, "<f4").tobytes())
    put(indexed, FEATURES, FEATURES.c.content_id == 3, embedding=np.full(3, 2, "<f4").tobytes())

    findings = verify(indexed)

    assert findings.encode_again == {2, 3}
    assert findings.rows == [
        "the embedding of content 2 has 8 bytes instead of 12",
        "the embedding of content 3 is not a unit vector",
    ]


def test_a_bad_embedding_of_a_text_is_found_and_encoded_again(
    indexed: Library, runtime: ColourRuntime, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "captions.txt").write_text("all red\nall blue\n")
    index_folders(indexed, runtime, [tmp_path / "captions.txt"])
    put(indexed, TEXT_FEATURES, TEXT_FEATURES.c.text_id == 1, embedding=np.full(3, np.nan, "<f4").tobytes())

    found, left = repair(indexed)
    report = index_folders(indexed, runtime, [photos])

    assert found.problems == ["the embedding of text 1 is not finite"]
    assert (left.problems, report.texts) == ([], 1)
    assert verify(indexed).problems == []


@pytest.mark.parametrize("table", ["features", "grids"])
def test_a_photo_without_features_or_grid_is_found_and_encoded_again(
    indexed: Library, runtime: ColourRuntime, photos: Path, table: str
) -> None:
    sql(indexed, f"DELETE FROM {table} WHERE content_id = 1")

    assert any("has no features" in problem for problem in verify(indexed).problems)
    assert_repaired_and_whole_after_the_next_run(indexed, runtime, photos, encoded=1)


@SQLITE_ONLY
def test_a_row_that_belongs_to_nothing_is_found(indexed: Library) -> None:
    connection = sqlite3.connect(indexed.folder / "library.db")
    connection.execute("PRAGMA foreign_keys = OFF")
    with connection:
        connection.execute("UPDATE photos SET content_id = 77 WHERE content_id = 1")
    connection.close()

    assert "a row in photos has no parent in contents" in verify(indexed).rows


@VECTOR_FILE
@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_vector_file_that_is_not_the_one_saved_is_found_and_made_again(
    indexed: Library, runtime: ColourRuntime, photos: Path, damage: str
) -> None:
    path = vector_file(indexed)
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    assert len(verify(indexed).vectors) == 1
    assert_repaired_and_whole_after_the_next_run(indexed, runtime, photos, encoded=0)


def test_vectors_that_are_not_those_of_the_rows_are_found_and_made_again(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    """This happens if a restored library.db has different rows but the same generation."""
    put(indexed, FEATURES, FEATURES.c.content_id == 2, embedding=np.array([0, 0, 1], "<f4").tobytes())

    assert "1 vector differs" in verify(indexed).vectors[0]
    found, left = repair(indexed)
    assert (len(found.problems), left.problems) == (1, [])


def test_a_file_that_rotted_with_its_size_and_time_as_they_were_is_found_and_read_again(
    indexed: Library, runtime: ColourRuntime, photos: Path
) -> None:
    photo = photos / "red.bmp"
    photo.write_bytes(picture_bytes((200, 0, 0), "BMP"))
    index_folders(indexed, runtime, [photos])
    stat = photo.stat()
    photo.write_bytes(picture_bytes((201, 0, 0), "BMP"))
    os.utime(photo, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert verify(indexed).problems == []
    assert verify(indexed, deep=True).files == [
        f"{photo} has changed since it was indexed, but its size and time have not"
    ]
    repair(indexed, deep=True)
    report = index_folders(indexed, runtime, [photos])
    assert report == IndexReport(found=6, unchanged=5, encoded=1)


def test_a_photo_that_may_not_be_read_is_a_problem_that_repair_leaves(
    public_folder: Path, runtime: ColourRuntime
) -> None:
    photo = make_photo(public_folder / "photos/red.png")
    with Library.create(public_folder / "library") as library:
        index_folders(library, runtime, [photo.parent])
        for made in (public_folder / "library").iterdir():
            made.chmod(0o666)
        (public_folder / "library").chmod(0o777)
    photo.chmod(0)

    with without_privileges(), Library.open(public_folder / "library") as library:
        found, left = repair(library, deep=True)

    assert found.problems == left.problems == [f"{photo} cannot be read: Permission denied"]


def test_photos_that_changed_or_went_since_the_last_run_are_no_problem(indexed: Library, photos: Path) -> None:
    (photos / "red.png").unlink()
    (photos / "blue.png").write_bytes(picture_bytes("white"))

    assert verify(indexed, deep=True) == Findings(photos=5, stale=2)


@SQLITE_ONLY
def test_what_sqlite_cannot_mend_is_named_and_left_as_it_is(indexed: Library) -> None:
    indexed.close()
    database = indexed.folder / "library.db"
    data = bytearray(database.read_bytes())
    page = 4096
    for start in range(3 * page, len(data) - page, page):
        data[start : start + 200] = bytes(200)
    database.write_bytes(data)

    with pytest.raises(LibraryDamaged, match="pixsearch repair"):
        Library.open(indexed.folder)
    with pytest.raises(LibraryDamaged, match="your photos are not affected"):
        Library.rescue(indexed.folder)
    assert database.read_bytes() == data


def test_nothing_is_written_by_verify(indexed: Library) -> None:
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in indexed.folder.iterdir()}

    verify(indexed, deep=True)

    assert {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in indexed.folder.iterdir()} == before
