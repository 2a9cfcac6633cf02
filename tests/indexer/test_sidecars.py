"""Tests of sidecars that are found, changed, deleted or shared by copies. None of this encodes a photo."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import update

from pixsearch import Filters, Library, Picture, Query, SearchEngine, Words
from pixsearch.database.schema import PHOTOS
from pixsearch.metadata import Metadata
from pixsearch_indexer import IndexOptions, index_folders
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.photos import make_photo, picture_bytes

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/">%s'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def titled(title: str, *keywords: str) -> str:
    words = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords)
    return XMP % f"<dc:title>{title}</dc:title><dc:subject><rdf:Bag>{words}</rdf:Bag></dc:subject>"


def bring_in(library: Library, runtime: ColourRuntime, photos: Path) -> tuple[int, int, int]:
    """Update the library, and return the numbers of encoded, described and unchanged photos."""
    report = index_folders(library, runtime, [photos], load_files=load_in_this_process)
    return report.encoded, report.described, report.unchanged


def metadata(library: Library, name: str) -> Metadata:
    hits = SearchEngine(library, ColourRuntime()).search(Query((Words("red"),), duplicates="show"), k=100)
    return next(hit.metadata for hit in hits if hit.path.name == name)


def texts(library: Library) -> set[str]:
    query = Query((Picture(picture_bytes("red")),), rerank=False)
    return {hit.text for hit in SearchEngine(library, ColourRuntime()).find_texts(query, 100)}


def test_a_changed_sidecar_changes_its_photo_s_metadata_and_texts_and_encodes_no_picture(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "a.png", "red")
    make_photo(photos / "b.png", "blue")
    sidecar = photos / "a.png.xmp"
    sidecar.write_text(titled("Harbour", "sea"))
    assert bring_in(library, runtime, photos) == (2, 0, 0)
    assert (metadata(library, "a.png").title, metadata(library, "a.png").keywords) == ("Harbour", ("sea",))
    assert texts(library) == {"Harbour"}

    sidecar.write_text(titled("Old harbour", "sea", "boats"))

    assert bring_in(library, runtime, photos) == (0, 1, 1)
    assert (metadata(library, "a.png").title, metadata(library, "a.png").keywords) == ("Old harbour", ("sea", "boats"))
    assert metadata(library, "b.png").title is None
    assert texts(library) == {"Old harbour"}
    assert bring_in(library, runtime, photos) == (0, 0, 2)


def test_a_sidecar_that_is_gone_says_nothing_any_more(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    make_photo(photos / "a.png", "red")
    (photos / "a.xmp").write_text(titled("Harbour"))
    bring_in(library, runtime, photos)

    (photos / "a.xmp").unlink()

    assert bring_in(library, runtime, photos) == (0, 1, 0)
    assert metadata(library, "a.png").title is None
    assert texts(library) == set()


def test_copies_of_a_picture_may_have_different_sidecars_and_filters_go_by_each(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    for folder in ("one", "two"):
        make_photo(photos / folder / f"{folder}.png", "red")
        (photos / folder / f"{folder}.png.xmp").write_text(titled(f"Number {folder}", folder))
    assert bring_in(library, runtime, photos) == (1, 0, 0)

    def found(keyword: str) -> list[tuple[str, str | None]]:
        query = Query((Words("red"),), filters=Filters(keywords=(keyword,)), duplicates="show")
        return [(hit.path.name, hit.metadata.title) for hit in SearchEngine(library, runtime).search(query)]

    assert found("one") == [("one.png", "Number one")]
    assert found("two") == [("two.png", "Number two")]
    assert found("three") == []
    assert texts(library) == {"Number one", "Number two"}


def test_a_photo_that_moved_takes_its_sidecar_along(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    make_photo(photos / "a.png", "red")
    (photos / "a.png.xmp").write_text(titled("Harbour"))
    bring_in(library, runtime, photos)

    (photos / "a.png").rename(photos / "IMG_20210304_101112.png")
    (photos / "a.png.xmp").rename(photos / "IMG_20210304_101112.png.xmp")

    assert bring_in(library, runtime, photos) == (0, 0, 0)
    moved = metadata(library, "IMG_20210304_101112.png")
    assert moved.title == "Harbour"
    assert (str(moved.taken_at), moved.date_kind) == ("2021-03-04 10:11:12", "guessed")


def test_what_takeout_says_is_read_and_its_files_are_not_counted_as_unread(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "IMG_1.png", "red")
    content = {"photoTakenTime": {"timestamp": "1060699034"}, "description": "Grandma", "geoData": {"latitude": 0.0}}
    content["geoDataExif"] = {"latitude": 47.5, "longitude": 8.25}
    (photos / "IMG_1.png.supplemental-metadata.json").write_text(json.dumps(content))
    (photos / "settings.json").write_text("{}")

    report = index_folders(library, runtime, [photos], load_files=load_in_this_process)

    found = metadata(library, "IMG_1.png")
    assert (found.caption, found.latitude, found.longitude) == ("Grandma", 47.5, 8.25)
    assert (str(found.taken_at), found.date_kind) == ("2003-08-12 14:37:14+00:00", "taken")
    assert report.not_read == {".json": 1}
    assert library.status().roots[0].not_read == {".json": 1}


def test_a_sidecar_that_cannot_be_read_is_a_note_and_no_failure(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "a.png", "red")
    (photos / "a.png.xmp").write_bytes(b"\x00\x01\x02 dear diary")

    assert bring_in(library, runtime, photos) == (1, 0, 0)
    [note] = library.notes()
    assert (note.path, note.note) == (photos / "a.png", "sidecar a.png.xmp cannot be read")
    assert library.failures() == []


def test_a_note_has_no_words_of_python(
    library: Library, runtime: ColourRuntime, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pixsearch_indexer.metadata.reader.read_xmp", fail)
    make_photo(photos / "a.png", "red")
    (photos / "a.png.xmp").write_bytes(b"<x/>")

    bring_in(library, runtime, photos)

    assert [note.note for note in library.notes()] == ["sidecar a.png.xmp cannot be read"]


def test_metadata_that_older_rules_read_are_read_again_and_nothing_is_encoded(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    make_photo(photos / "2021-03-04.png", "red")
    make_photo(photos / "b.png", "blue")
    bring_in(library, runtime, photos)
    with library.writing(), library._database.writing() as connection:
        connection.execute(update(PHOTOS).values(metadata_version=0))
    before = library.vectors().ids().tolist()

    assert bring_in(library, runtime, photos) == (0, 2, 0)
    assert library.vectors().ids().tolist() == before
    assert metadata(library, "2021-03-04.png").date_kind == "guessed"
    assert bring_in(library, runtime, photos) == (0, 0, 2)


@pytest.mark.parametrize(
    "folder", ["Trip.photoslibrary/resources/derivatives", "Previews.lrdata", "@eaDir", "@__thumb"]
)
def test_what_photo_programs_made_of_their_photos_is_skipped(
    library: Library, runtime: ColourRuntime, photos: Path, folder: str
) -> None:
    make_photo(photos / "Trip.photoslibrary" / "originals" / "a.png", "red")
    make_photo(photos / folder / "small.png", "blue")

    report = index_folders(library, runtime, [photos], load_files=load_in_this_process)
    with_hidden = index_folders(
        library, runtime, [photos], options=IndexOptions(hidden=True), load_files=load_in_this_process
    )

    assert (report.found, with_hidden.found) == (1, 2)


def test_nothing_is_written_beside_photos(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    make_photo(photos / "a.png", "red")
    (photos / "a.png.xmp").write_text(titled("Harbour"))
    before = {path: path.stat().st_mtime_ns for path in [photos, *photos.rglob("*")]}
    photos.chmod(0o555)
    try:
        bring_in(library, runtime, photos)
        SearchEngine(library, runtime).search("red")
    finally:
        photos.chmod(0o755)

    assert {path: path.stat().st_mtime_ns for path in [photos, *photos.rglob("*")]} == before


def test_a_sidecar_whose_name_is_no_text_is_read_and_named(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    photo = photos / os.fsdecode(b"caf\xe9.png")
    make_photo(photo, "red")
    photo.with_name(photo.name + ".xmp").write_bytes(b"\x00\x01 dear diary")

    assert bring_in(library, runtime, photos) == (1, 0, 0)
    assert [note.path for note in library.notes()] == [photo]
