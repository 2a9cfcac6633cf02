"""Filters: what passes is worked out by hand from each photo's metadata."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.errors import UsageError
from pixsearch.library.filtering import distance_km
from pixsearch.library.filters import Circle, Filters
from pixsearch.library.records import IndexedFile, LibraryModel, Metadata, NewContent
from pixsearch.storage import FileStamp
from tests.colour_runtime import ColourRuntime

PHOTOS = {
    "paris/IMG_1.jpg": Metadata(
        "JPEG",
        4000,
        3000,
        taken_at=datetime(2021, 3, 1, 0, 0, 0),
        camera="Canon EOS R5",
        latitude=48.8584,
        longitude=2.2945,
        keywords=("Tower", "trip"),
    ),
    "paris/IMG_2.JPG": Metadata(
        "JPEG",
        3000,
        4000,
        taken_at=datetime(2021, 5, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=9))),
        camera="NIKON D850",
        keywords=("trip",),
    ),
    "oslo/fjord.png": Metadata(
        "PNG", 1000, 1000, taken_at=datetime(2021, 6, 1, tzinfo=UTC), latitude=59.9139, longitude=10.7522
    ),
    "fiji.png": Metadata("PNG", 10, 10, latitude=-17.8, longitude=179.9, camera="Canon PowerShot"),
}
"""Each in a colour of its own."""


@pytest.fixture
def library(library: Library, photos: Path) -> Library:
    runtime = ColourRuntime()
    with library.writing() as writer:
        writer.use_model(LibraryModel(runtime.fingerprint, runtime.name, runtime.embedding_size))
        contents, files = [], []
        for number, (name, metadata) in enumerate(PHOTOS.items()):
            digest = hashlib.sha256(name.encode()).digest()
            colour = np.array([1.0, number / 3, 0.0], dtype=np.float32)
            contents.append(NewContent(digest, 1, metadata, colour / np.linalg.norm(colour), colour.tobytes()))
            files.append(IndexedFile(os.fsencode(photos / name), FileStamp(1, 1), digest))
        files.append(IndexedFile(os.fsencode(photos / "all/copy of the tower.jpg"), FileStamp(1, 1), files[0].digest))
        writer.store(writer.root_of(os.fsencode(photos))[0], contents, files, [])
    return library


def found(library: Library, photos: Path, filters: Filters) -> set[str]:
    query = Query((Words("red"),), filters=filters)
    return {
        str(Path(str(hit.path)).relative_to(photos)) for hit in SearchEngine(library, ColourRuntime()).search(query)
    }


TOWER, NIKON, FJORD, FIJI = PHOTOS
COPY = "all/copy of the tower.jpg"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), {COPY, NIKON, FJORD, FIJI}),  # copies are one hit, under the path that comes first
        (Filters(after=datetime(2021, 3, 1)), {COPY, NIKON, FJORD}),
        (Filters(after=datetime(2021, 3, 1, 0, 0, 1)), {NIKON, FJORD}),
        (Filters(after=datetime(2021, 3, 1), before=datetime(2021, 6, 1)), {COPY, NIKON}),  # each by its own clock
        (Filters(camera="canon"), {COPY, FIJI}),
        (Filters(camera="nikon d"), {NIKON}),
        (Filters(camera="leica"), set()),
        (Filters(keywords=("TRIP",)), {COPY, NIKON}),
        (Filters(keywords=("trip", "tower")), {COPY}),
        (Filters(orientation="landscape"), {COPY}),
        (Filters(orientation="portrait"), {NIKON}),
        (Filters(orientation="square"), {FJORD, FIJI}),
        (Filters(min_megapixels=12), {COPY, NIKON}),
        (Filters(min_megapixels=0.5, max_megapixels=1), {FJORD}),
        (Filters(has_place=True), {COPY, FJORD, FIJI}),
        (Filters(near=Circle(48.8606, 2.3376, 4)), {COPY}),  # the Louvre is 3.2 km from the tower
        (Filters(near=Circle(48.8606, 2.3376, 3)), set()),
        (Filters(near=Circle(-17.8, -179.9, 25)), {FIJI}),  # across the date line: 0.2 degrees are 21 km there
        (Filters(name="img_?.jpg"), {TOWER, NIKON}),
        (Filters(name="*.png", orientation="square", has_place=True, camera="canon"), {FIJI}),
        (Filters(name="*.gif"), set()),
    ],
    ids=lambda value: str(value) if isinstance(value, Filters) else ", ".join(sorted(value)),
)
def test_what_passes_is_found_and_nothing_else(
    library: Library, photos: Path, filters: Filters, expected: set[str]
) -> None:
    assert found(library, photos, filters) == expected


def test_in_a_folder_a_photo_is_named_by_its_path_there(library: Library, photos: Path) -> None:
    assert found(library, photos, Filters(folders=(photos / "paris",))) == {TOWER, NIKON}
    assert found(library, photos, Filters(folders=(photos / "all", photos / "oslo"))) == {COPY, FJORD}
    assert found(library, photos, Filters(folders=(photos / "par",))) == set()


def test_of_copies_that_are_shown_each_has_to_pass(library: Library, photos: Path) -> None:
    query = Query((Words("red"),), filters=Filters(folders=(photos / "all",)), duplicates="show")

    assert [hit.path for hit in SearchEngine(library, ColourRuntime()).search(query)] == [photos / COPY]


def test_a_narrow_filter_still_gives_all_that_passes_however_far_from_the_query(library: Library) -> None:
    query = Query((Words("blue"),), filters=Filters(camera="PowerShot"), candidates=1)

    [hit] = SearchEngine(library, ColourRuntime()).search(query, k=1)

    assert (hit.path.name, hit.similarity, hit.similarity_rank) == ("fiji.png", 0.0, 1)


@pytest.mark.parametrize("near", [Circle(91, 0, 1), Circle(0, 181, 1), Circle(0, 0, 0), Circle(0, 0, float("nan"))])
def test_what_is_no_place_is_refused(near: Circle) -> None:
    with pytest.raises(UsageError, match="place"):
        Filters(near=near)


def test_a_date_with_a_time_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="time zone"):
        Filters(after=datetime(2021, 1, 1, tzinfo=UTC))


def test_a_distance_is_that_of_the_great_circle() -> None:
    # A quarter of the meridian, and from pole to pole: pi / 2 and pi times the mean radius.
    assert distance_km(0, 0, 90, 0) == pytest.approx(10007.557, abs=0.01)
    assert distance_km(-90, 5, 90, 77) == pytest.approx(20015.114, abs=0.01)
    assert distance_km(0, 179.5, 0, -179.5) == pytest.approx(111.195, abs=0.001)
