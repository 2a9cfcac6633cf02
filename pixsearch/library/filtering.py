"""Which of a library's contents pass a query's filters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select

from pixsearch.library.filters import Filters
from pixsearch.library.schema import CONTENTS, PHOTOS

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 (IUGG)."""


def contents_that_pass(connection: Connection, filters: Filters) -> list[int]:
    """Ids of the contents of which a photo passes, in ascending order."""
    rows = connection.execution_options(yield_per=10_000).execute(
        select(
            PHOTOS.c.content_id,
            PHOTOS.c.path,
            CONTENTS.c.camera,
            CONTENTS.c.keywords,
            CONTENTS.c.latitude,
            CONTENTS.c.longitude,
        )
        .join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
        .where(*_conditions(filters))
    )
    return sorted({row.content_id for row in rows if _passes(row, filters)})


def _conditions(filters: Filters) -> Iterator[ColumnElement[bool]]:
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
    pixels = CONTENTS.c.width * CONTENTS.c.height
    if filters.min_megapixels is not None:
        yield pixels >= filters.min_megapixels * 1e6
    if filters.max_megapixels is not None:
        yield pixels <= filters.max_megapixels * 1e6
    if filters.has_place or filters.near is not None:
        yield CONTENTS.c.latitude.is_not(None)
        yield CONTENTS.c.longitude.is_not(None)
    if filters.camera is not None:
        yield CONTENTS.c.camera.is_not(None)


def _passes(row: Row[*tuple[Any, ...]], filters: Filters) -> bool:
    """Those that SQL cannot judge, or not alike in every database."""
    if filters.camera is not None and filters.camera.casefold() not in row.camera.casefold():
        return False
    if filters.keywords:
        its_own = {keyword.casefold() for keyword in row.keywords}
        if not its_own.issuperset(keyword.casefold() for keyword in filters.keywords):
            return False
    if filters.near is not None:
        latitude, longitude, radius_km = filters.near
        if distance_km(row.latitude, row.longitude, latitude, longitude) > radius_km:
            return False
    return filters.lets_path_through(row.path)


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The great circle between two places in degrees, by the haversine formula (Sinnott, 1984)."""
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half_across = math.radians(other_longitude - longitude) / 2
    haversine = math.sin((other_phi - phi) / 2) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_across) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(haversine)))
