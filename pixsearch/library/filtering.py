"""Which of a library's contents pass a query's filters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, cast, func, or_, select

from pixsearch.library.filters import Filters
from pixsearch.library.paths import behind_all_below, below
from pixsearch.library.schema import CONTENTS, PHOTOS

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 (IUGG)."""


def contents_that_pass(connection: Connection, filters: Filters, among: Sequence[int] | None = None) -> list[int]:
    """Ids of the contents of which a photo passes, in ascending order; only those `among` some, where given."""
    photos = PHOTOS.join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
    conditions = list(_conditions(connection, filters))
    if among is not None:
        conditions.append(CONTENTS.c.id.in_(among))
    if filters.name is None and not filters.keywords and filters.near is None:
        ids = select(PHOTOS.c.content_id).select_from(photos).where(*conditions).distinct()
        return sorted(connection.scalars(ids))
    rows = connection.execution_options(yield_per=10_000).execute(
        select(PHOTOS.c.content_id, PHOTOS.c.path, CONTENTS.c.keywords, CONTENTS.c.latitude, CONTENTS.c.longitude)
        .select_from(photos)
        .where(*conditions)
    )
    lets_path_through = filters.path_test()
    return sorted({row.content_id for row in rows if _passes(row, filters) and lets_path_through(row.path)})


def _conditions(connection: Connection, filters: Filters) -> Iterator[ColumnElement[bool]]:
    """Those that SQL can judge."""
    taken_at = func.substr(CONTENTS.c.taken_at, 1, len("2021-03-01T00:00:00"))
    if filters.after is not None:
        yield taken_at >= filters.after.isoformat(timespec="seconds")
    if filters.before is not None:
        yield taken_at < filters.before.isoformat(timespec="seconds")
    if filters.orientation == "landscape":
        yield CONTENTS.c.width > CONTENTS.c.height
    elif filters.orientation == "portrait":
        yield CONTENTS.c.width < CONTENTS.c.height
    elif filters.orientation == "square":
        yield CONTENTS.c.width == CONTENTS.c.height
    pixels = cast(CONTENTS.c.width, BigInteger) * CONTENTS.c.height
    if filters.min_megapixels is not None:
        yield pixels >= filters.min_megapixels * 1e6
    if filters.max_megapixels is not None:
        yield pixels <= filters.max_megapixels * 1e6
    if filters.has_place or filters.near is not None:
        yield CONTENTS.c.latitude.is_not(None)
        yield CONTENTS.c.longitude.is_not(None)
    if filters.near is not None:
        degrees = math.degrees(filters.near.radius_km / EARTH_RADIUS_KM) + 1e-6
        yield CONTENTS.c.latitude.between(filters.near.latitude - degrees, filters.near.latitude + degrees)
    if filters.camera is not None:
        # There are few; and what is upper and lower case SQLite knows of ASCII alone.
        cameras = connection.scalars(select(CONTENTS.c.camera).where(CONTENTS.c.camera.is_not(None)).distinct())
        yield CONTENTS.c.camera.in_([one for one in cameras if filters.camera.casefold() in one.casefold()])
    if filters.folders:
        paths = filters.folder_paths()
        yield or_(*((PHOTOS.c.path > below(folder)) & (PHOTOS.c.path < behind_all_below(folder)) for folder in paths))


def _passes(row: Row[*tuple[Any, ...]], filters: Filters) -> bool:
    """Those that SQL cannot judge, or not alike in every database; but for the path."""
    if filters.keywords:
        its_own = {keyword.casefold() for keyword in row.keywords}
        if not its_own.issuperset(keyword.casefold() for keyword in filters.keywords):
            return False
    if filters.near is None:
        return True
    latitude, longitude, radius_km = filters.near
    return distance_km(row.latitude, row.longitude, latitude, longitude) <= radius_km


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The great circle between two places in degrees, by the haversine formula (Sinnott, 1984)."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half_across = math.radians(other_longitude - longitude) / 2
    haversine = math.sin((other_phi - phi) / 2) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_across) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(haversine)))
