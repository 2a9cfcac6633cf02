"""Filters: which photos pass is worked out by hand from their metadata."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.database.state import LibraryModel
from pixsearch.errors import UsageError
from pixsearch.filters import Circle, Filters
from pixsearch.library.filtering import distance_km
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
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
        people=("Anna Müller", "José"),
        rating=4,
        location="Champ de Mars, Paris, Île-de-France",
    ),
    "paris/IMG_2.JPG": Metadata(
        "JPEG",
        3000,
        4000,
        taken_at=datetime(2021, 5, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=9))),
        camera="NIKON D850",
        keywords=("City Trips",),
        people=("Annabel",),
        rating=3,
    ),
    "oslo/fjord.png": Metadata(
        "PNG", 1000, 1000, taken_at=datetime(2021, 6, 1, tzinfo=UTC), latitude=59.9139, longitude=10.7522
    ),
    "fiji.png": Metadata("PNG", 10, 10, latitude=-17.8, longitude=179.9, camera="Canon PowerShot"),
}
"""The photos in the library, each in a different colour."""


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
        (Filters(), {COPY, NIKON, FJORD, FIJI}),  # copies are one hit, under the first path
        (Filters(after=datetime(2021, 3, 1)), {COPY, NIKON, FJORD}),
        (Filters(after=datetime(2021, 3, 1, 0, 0, 1)), {NIKON, FJORD}),
        # Each photo is compared in its own local time.
        (Filters(after=datetime(2021, 3, 1), before=datetime(2021, 6, 1)), {COPY, NIKON}),
        (Filters(camera="canon"), {COPY, FIJI}),
        (Filters(camera="nikon d"), {NIKON}),
        (Filters(camera="leica"), set()),
        (Filters(camera="d850 nik"), {NIKON}),
        (Filters(camera="canon d850"), set()),
        (Filters(keywords=("TRIP",)), {COPY, NIKON}),
        (Filters(keywords=("trips",)), {NIKON}),
        (Filters(keywords=("trip", "tower")), {COPY}),
        (Filters(people=("anna",)), {COPY, NIKON}),
        (Filters(people=("muller",)), {COPY}),
        (Filters(people=("anna", "jose")), {COPY}),
        (Filters(people=("Annika",)), set()),
        (Filters(places=("ile-de-france", "paris")), {COPY}),
        (Filters(places=("london",)), set()),
        (Filters(rating=4), {COPY}),
        (Filters(rating=1), {COPY, NIKON}),
        (Filters(rating=5), set()),
        (Filters(orientation="landscape"), {COPY}),
        (Filters(orientation="portrait"), {NIKON}),
        (Filters(orientation="square"), {FJORD, FIJI}),
        (Filters(min_megapixels=12), {COPY, NIKON}),
        (Filters(min_megapixels=0.5, max_megapixels=1), {FJORD}),
        (Filters(has_place=True), {COPY, FJORD, FIJI}),
        (Filters(near=Circle(48.8606, 2.3376, 4)), {COPY}),  # the Louvre is 3.2 km from the tower
        (Filters(near=Circle(48.8606, 2.3376, 3)), set()),
        (Filters(near=Circle(-17.8, -179.9, 25)), {FIJI}),  # across the date line, where 0.2 degrees is 21 km
        (Filters(name="img_?.jpg"), {TOWER, NIKON}),
        (Filters(name="*.png", orientation="square", has_place=True, camera="canon"), {FIJI}),
        (Filters(name="*.gif"), set()),
        (Filters(name="img_1"), {TOWER}),
        (Filters(name="FJÖRD"), {FJORD}),
        (Filters(name="FJÖ*"), {FJORD}),
        (Filters(name="aris"), set()),  # the word is only in the folder's name
    ],
    ids=lambda value: str(value) if isinstance(value, Filters) else ", ".join(sorted(value)),
)
def test_exactly_the_photos_that_pass_are_found(
    library: Library, photos: Path, filters: Filters, expected: set[str]
) -> None:
    assert found(library, photos, filters) == expected


def test_a_hit_has_the_path_of_the_copy_in_the_filtered_folder(library: Library, photos: Path) -> None:
    assert found(library, photos, Filters(folders=(photos / "paris",))) == {TOWER, NIKON}
    assert found(library, photos, Filters(folders=(photos / "all", photos / "oslo"))) == {COPY, FJORD}
    assert found(library, photos, Filters(folders=(photos / "par",))) == set()


def test_each_copy_that_is_shown_has_to_pass(library: Library, photos: Path) -> None:
    query = Query((Words("red"),), filters=Filters(folders=(photos / "all",)), duplicates="show")

    assert [hit.path for hit in SearchEngine(library, ColourRuntime()).search(query)] == [photos / COPY]


def test_a_narrow_filter_finds_photos_that_are_far_from_the_query(library: Library) -> None:
    query = Query((Words("blue"),), filters=Filters(camera="PowerShot"), candidates=1)

    [hit] = SearchEngine(library, ColourRuntime()).search(query, k=1)

    assert (hit.path.name, hit.similarity, hit.similarity_rank) == ("fiji.png", 0.0, 1)


@pytest.mark.parametrize("near", [Circle(91, 0, 1), Circle(0, 181, 1), Circle(0, 0, 0), Circle(0, 0, float("nan"))])
def test_an_invalid_circle_is_refused(near: Circle) -> None:
    with pytest.raises(UsageError, match="location"):
        Filters(near=near)


@pytest.mark.parametrize(
    "impossible",
    [
        {"after": datetime(2021, 3, 1), "before": datetime(2020, 3, 1)},
        {"after": datetime(2021, 3, 1), "before": datetime(2021, 3, 1)},
        {"min_megapixels": 3, "max_megapixels": 2},
    ],
    ids=str,
)
def test_an_empty_range_is_refused(impossible: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"the range from .* is empty"):
        Filters(**impossible)


@pytest.mark.parametrize("rating", [0, 6])
def test_a_rating_out_of_range_is_refused(rating: int) -> None:
    with pytest.raises(UsageError, match=f"a rating must be from 1 to 5, not {rating}"):
        Filters(rating=rating)


def listed(library: Library, photos: Path, k: int = 10, **options: Any) -> list[str]:
    hits = SearchEngine(library, ColourRuntime()).search(Query(**options), k)
    assert all(hit.similarity is hit.similarity_rank is hit.match is hit.probability is None for hit in hits)
    first = options.get("offset", 0) + 1
    assert [hit.rank for hit in hits] == list(range(first, first + len(hits)))
    return [str(Path(str(hit.path)).relative_to(photos)) for hit in hits]


def test_filters_alone_list_the_photos_that_pass_newest_first(library: Library, photos: Path) -> None:
    assert listed(library, photos, sort="newest") == [FJORD, NIKON, COPY, FIJI]  # the last one has no date
    assert listed(library, photos, filters=Filters(has_place=True)) == [FJORD, COPY, FIJI]
    assert listed(library, photos, sort="oldest") == [COPY, NIKON, FJORD, FIJI]
    assert listed(library, photos, filters=Filters(keywords=("trip",)), sort="oldest") == [COPY, NIKON]
    assert listed(library, photos, filters=Filters(rating=5)) == []


def test_a_listing_continues_at_an_offset(library: Library, photos: Path) -> None:
    pages = [listed(library, photos, 2, sort="newest", offset=offset) for offset in (0, 2, 4)]

    assert pages == [[FJORD, NIKON], [COPY, FIJI], []]


def test_a_listing_can_show_each_copy_as_a_hit(library: Library, photos: Path) -> None:
    shown = [listed(library, photos, 2, sort="oldest", duplicates="show", offset=offset) for offset in (0, 2, 4)]

    assert shown == [[COPY, TOWER], [NIKON, FJORD], [FIJI]]


def test_a_threshold_without_words_is_refused(library: Library) -> None:
    with pytest.raises(UsageError, match="a threshold requires search text"):
        SearchEngine(library, ColourRuntime()).search(Query(sort="newest", threshold=0.5))


def test_likely_hits_are_sorted_by_date_and_the_rest_follow_by_relevance(library: Library) -> None:
    engine = SearchEngine(library, ColourRuntime(calibrated=True))
    words = (Words("green"),)  # the photos have 0, 1/3, 2/3 and all of the colour, so the last two are likely

    def names(k: int = 10, **options: Any) -> list[str]:
        return [hit.path.name for hit in engine.search(Query(words, **options), k)]

    assert names() == ["fiji.png", "fjord.png", "IMG_2.JPG", "copy of the tower.jpg"]
    # The first photo has no date. The oldest is one of the unlikely ones, so it stays last.
    assert names(sort="oldest") == ["fjord.png", "fiji.png", "IMG_2.JPG", "copy of the tower.jpg"]
    assert names(1, sort="newest") == ["fjord.png"]
    assert names(2, offset=1) == ["fjord.png", "IMG_2.JPG"]


def test_without_probabilities_all_hits_are_sorted_by_date(library: Library) -> None:
    hits = SearchEngine(library, ColourRuntime()).search(Query((Words("green"),), sort="oldest"), 3)

    assert [hit.path.name for hit in hits] == ["copy of the tower.jpg", "IMG_2.JPG", "fjord.png"]


@pytest.mark.parametrize("sort", ["relevance", "newest", "oldest"])
@pytest.mark.parametrize("rerank", [None, False])
@pytest.mark.parametrize("calibrated", [False, True])
def test_pages_together_are_the_whole_answer(
    library: Library, sort: Any, rerank: bool | None, calibrated: bool
) -> None:
    engine = SearchEngine(library, ColourRuntime(calibrated=calibrated))

    def names(k: int, offset: int) -> list[str]:
        query = Query((Words("green"),), sort=sort, rerank=rerank, offset=offset)
        return [hit.path.name for hit in engine.search(query, k)]

    assert [*names(2, 0), *names(2, 2), *names(2, 4)] == names(10, 0)


def test_a_date_with_a_time_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="time zone"):
        Filters(after=datetime(2021, 1, 1, tzinfo=UTC))


def test_a_distance_is_that_of_the_great_circle() -> None:
    # A quarter of the meridian and the distance from pole to pole: pi / 2 and pi times the mean radius.
    assert distance_km(0, 0, 90, 0) == pytest.approx(10007.557, abs=0.01)
    assert distance_km(-90, 5, 90, 77) == pytest.approx(20015.114, abs=0.01)
    assert distance_km(0, 179.5, 0, -179.5) == pytest.approx(111.195, abs=0.001)
