"""A library's folders, with contents counted by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch import Filters, Library
from pixsearch.database.state import LibraryModel
from pixsearch.library.records import FolderListing, IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp, path_bytes
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY, sql

TREE = (b"2020/a.jpg", b"2020/May/b.jpg", b"2020/May/c.jpg", b"2021/d.jpg", b"e.jpg")


def fill(library: Library, names: tuple[bytes, ...], root: bytes = b"/photos") -> None:
    """Store photos by paths below a root, each with different content."""
    runtime = ColourRuntime()
    embedding = runtime.embed_texts(["red"])[0]
    new = [NewContent(root + name, 1, Metadata("PNG", 8, 8), embedding, b"grid") for name in names]
    files = [IndexedFile(root.rstrip(b"/") + b"/" + name, FileStamp(1, 1), root + name) for name in names]
    with library.writing() as writer:
        writer.use_model(LibraryModel(runtime.fingerprint, runtime.name, runtime.embedding_size))
        writer.store(writer.root_of(root)[0], new, files, [])


def listing(library: Library, path: bytes | None = None, after: bytes | None = None, most: int = 1000) -> FolderListing:
    found = library.folders_in(path, after, most)
    assert found is not None
    return found


def counts(found: FolderListing) -> dict[bytes, int]:
    return {folder.path: folder.photos for folder in found.folders}


def test_each_folder_counts_the_photos_below_it_in_any_depth(library: Library) -> None:
    fill(library, TREE)

    top = listing(library, b"/photos")
    assert (top.path, top.parents, top.photos) == (b"/photos", (), 5)
    assert counts(top) == {b"/photos/2020": 3, b"/photos/2021": 1}
    assert [folder.has_folders for folder in top.folders] == [True, False]

    inside = listing(library, b"/photos/2020")
    assert (inside.parents, inside.photos, counts(inside)) == ((b"/photos",), 3, {b"/photos/2020/May": 2})
    deepest = listing(library, b"/photos/2020/May")
    assert (deepest.parents, deepest.photos, deepest.folders) == ((b"/photos", b"/photos/2020"), 2, ())


def test_one_root_opens_at_once_and_several_stand_first(library: Library) -> None:
    fill(library, TREE)
    assert listing(library).path == b"/photos"

    fill(library, (b"f.jpg",), b"/more")
    both = listing(library)
    assert (both.path, both.photos) == (None, 6)
    assert counts(both) == {b"/more": 1, b"/photos": 5}


def test_a_root_within_another_stands_where_it_lies(library: Library) -> None:
    fill(library, (b"a.jpg",))
    fill(library, (b"b.jpg", b"c.jpg"), b"/photos/inner")

    assert counts(listing(library)) == {b"/photos/inner": 2}
    assert listing(library, b"/photos/inner").parents == (b"/photos",)


def test_a_library_without_photos_has_no_folders(library: Library) -> None:
    assert listing(library) == FolderListing(None, (), 0, True, (), None)


@pytest.mark.parametrize(
    "path",
    [b"/photos/2020/June", b"/", b"/photos/20", b"/photos/e.jpg", b"/photos\x00", b"", b"\xff"],
)
def test_what_is_no_folder_of_the_library_is_none(library: Library, path: bytes) -> None:
    fill(library, TREE)

    assert library.folders_in(path) is None


def test_a_slash_at_the_end_of_a_folder_makes_no_difference(library: Library) -> None:
    fill(library, TREE)

    assert listing(library, b"/photos/2020/") == listing(library, b"/photos/2020")


def test_the_whole_file_system_can_be_a_root(library: Library) -> None:
    fill(library, (b"home/a.jpg", b"b.jpg"), b"/")

    assert counts(listing(library)) == {b"/home": 1}
    assert listing(library, b"/home").parents == (b"/",)


def test_a_folder_of_a_storage_is_one(library: Library) -> None:
    fill(library, (b"2020/a.jpg",), b"s3://bucket/photos")

    assert counts(listing(library)) == {b"s3://bucket/photos/2020": 1}
    assert listing(library, b"s3://bucket/photos/2020").parents == (b"s3://bucket/photos",)


def test_names_of_any_bytes_are_folders(library: Library) -> None:
    names = (b"\xff", b"\xfe", "\u00e9".encode(), "e\u0301".encode(), b"a%2Fb", b"?&=#", b"\n", b"'\"<b>")
    fill(library, tuple(name + b"/a.jpg" for name in names))

    assert counts(listing(library)) == {b"/photos/" + name: 1 for name in names}
    for name in names:
        assert listing(library, b"/photos/" + name).photos == 1


def test_folders_come_by_name_and_in_parts(library: Library) -> None:
    fill(library, tuple(name + b"/a.jpg" for name in (b"b", b"A", b"c", b"B", b"a")))
    in_order = [b"/photos/" + name for name in (b"A", b"a", b"B", b"b", b"c")]

    first = listing(library, b"/photos", most=2)
    assert ([one.path for one in first.folders], first.last, first.photos) == (in_order[:2], b"a", 5)
    second = listing(library, b"/photos", first.last, 2)
    third = listing(library, b"/photos", second.last, 2)
    assert [one.path for one in (*second.folders, *third.folders)] == in_order[2:]
    assert third.last is None


def test_a_folder_that_is_gone_meanwhile_shifts_no_part(library: Library) -> None:
    fill(library, tuple(name + b"/a.jpg" for name in (b"a", b"b", b"c")))
    with library.writing() as writer:
        writer.forget([b"/photos/b/a.jpg"])

    assert list(counts(listing(library, b"/photos", b"b"))) == [b"/photos/c"]


def test_a_cover_is_a_picture_of_the_folder(library: Library) -> None:
    fill(library, TREE)

    for folder in listing(library).folders:
        assert folder.cover is not None
        picture = library.picture(folder.cover)
        assert picture is not None
        assert path_bytes(picture.photos[0].path).startswith(folder.path + b"/")


def test_folders_of_a_root_that_is_gone_are_offline(library: Library, tmp_path: Path) -> None:
    there = os.fsencode(tmp_path)
    fill(library, (b"x/a.jpg",), there)
    fill(library, (b"x/b.jpg",))

    assert {one.path: one.online for one in listing(library).folders} == {b"/photos": False, there: True}
    assert not listing(library, b"/photos/x").online
    assert listing(library, there).folders[0].online


@SQLITE_ONLY
def test_a_folder_that_only_a_damaged_row_names_is_left_out_and_that_is_noted(library: Library) -> None:
    fill(library, TREE)
    sql(library, "UPDATE photos SET path = ? WHERE path = ?", b"/photos/1999/x.jpg", b"/photos/2021/d.jpg")

    assert list(counts(listing(library))) == [b"/photos/2020"]
    assert len(library.damage()) == 1


@SQLITE_ONLY
def test_a_folder_whose_newest_photo_is_damaged_is_there_with_another(library: Library) -> None:
    fill(library, TREE)
    sql(library, "UPDATE photos SET mtime_ns = 7 WHERE path = ?", b"/photos/2020/May/c.jpg")

    folder = listing(library).folders[0]
    picture = library.picture(folder.cover or 0)
    assert folder.path == b"/photos/2020"
    assert picture is not None
    assert picture.photos[0].path in (Path("/photos/2020/a.jpg"), Path("/photos/2020/May/b.jpg"))
    assert len(library.damage()) > 0


@SQLITE_ONLY
def test_a_path_that_has_become_text_is_left_out_and_noted(library: Library) -> None:
    fill(library, TREE)
    sql(library, "UPDATE photos SET path = CAST('/photos/2021/d.jpg' AS TEXT) WHERE path = ?", b"/photos/2021/d.jpg")

    assert list(counts(listing(library))) == [b"/photos/2020"]


def test_a_folder_is_found_by_its_name_as_it_is_shown(library: Library) -> None:
    fill(library, (b"\xff\xc3/a.jpg", b"x/b.jpg"))

    for shown in (Path("/photos/\ufffd\ufffd"), Path(os.fsdecode(b"/photos/\xff\xc3"))):
        found = library.passing(Filters(folders=(shown,)))
        assert [library.pictures(found)[one].photos[0].path.name for one in found] == ["a.jpg"]
    assert library.passing(Filters(folders=(Path(os.fsdecode(b"/photos/\xfe\xc3")),))) == []
