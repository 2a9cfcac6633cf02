"""Which of a library's contents pass a query's filters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Row, cast, func, or_, select

from pixsearch.library.filters import Filters
from pixsearch.library.paths import below
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, known
from pixsearch.library.rows import Damage, in_ranges, integers, values_of
from pixsearch.library.schema import CONTENTS, DESCRIPTIONS, PHOTOS
from pixsearch.unicode_forms import folded

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 (IUGG)."""


def contents_that_pass(
    connection: Connection, filters: Filters, damage: Damage, among: Sequence[int] | None = None
) -> list[int]:
    """Ids of the contents of which a photo passes, in ascending order; only those `among` some, where given.

    A photo of which rot leaves nothing to judge passes: whoever reads it sees that it is damaged.
    """
    return sorted(set(_passing(connection, filters, PHOTOS.c.content_id, among, damage)))


def photos_that_pass(connection: Connection, filters: Filters, among: Sequence[int], damage: Damage) -> set[int]:
    """Ids of the photos that pass, among those of some contents."""
    return set(_passing(connection, filters, PHOTOS.c.id, among, damage))


def _sql_is_enough(filters: Filters) -> bool:
    folders = filters.folder_paths()
    return filters.name is None and not filters.keywords and filters.near is None and all(map(bytes.isascii, folders))


def _passing(
    connection: Connection, filters: Filters, column: Column[int], among: Sequence[int] | None, damage: Damage
) -> list[int]:
    """The values of a column of the photos that pass: first what SQL can judge, then the rest."""
    conditions = list(_conditions(connection, filters, damage))
    if among is not None:
        conditions.append(PHOTOS.c.content_id.in_(among))
    statement = select(column).select_from(PHOTOS_AND_METADATA).where(*conditions)
    if _sql_is_enough(filters):
        return integers(in_ranges(connection, statement.distinct(), damage))
    names = ("keywords", "latitude", "longitude")
    statement = statement.add_columns(PHOTOS.c.path, *(known(name).label(name) for name in names))
    lets_path_through = filters.path_test()

    def passes(row: Row[Any]) -> bool:
        try:
            return _passes(row, filters) and lets_path_through(row.path)
        except (AttributeError, TypeError, ValueError):  # of another kind than was stored
            return True

    return integers(in_ranges(connection, statement, damage, passes))


def _conditions(connection: Connection, filters: Filters, damage: Damage) -> Iterator[ColumnElement[bool]]:
    """Those that SQL can judge."""
    taken_at = func.substr(known("taken_at"), 1, len("2021-03-01T00:00:00"))
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
        yield known("latitude").is_not(None)
        yield known("longitude").is_not(None)
    if filters.near is not None:
        degrees = math.degrees(filters.near.radius_km / EARTH_RADIUS_KM) + 1e-6
        yield known("latitude").between(filters.near.latitude - degrees, filters.near.latitude + degrees)
    if filters.camera is not None:
        # There are few; and what is upper and lower case SQLite knows of ASCII alone.
        cameras = [values_of(connection, table.c.camera, damage) for table in (CONTENTS, DESCRIPTIONS)]
        found = [one for one in set().union(*cameras) if isinstance(one, str)]
        yield known("camera").in_([one for one in found if folded(filters.camera) in folded(one)])
    if filters.folders:
        # Of a name beyond ASCII only what stands before: that may be written in more than one way.
        beginnings = [_ascii_part(below(folder)) for folder in filters.folder_paths()]
        yield or_(*((PHOTOS.c.path >= first) & (PHOTOS.c.path < _behind(first)) for first in beginnings))


def _ascii_part(path: bytes) -> bytes:
    """The beginning of a path that is written in the same way in every form of Unicode."""
    ascii_bytes = next((at for at, byte in enumerate(path) if byte >= 128), None)
    # A letter may be written with its accent behind it: it is left out.
    return path if ascii_bytes is None else path[: max(ascii_bytes - 1, 1)]


def _behind(beginning: bytes) -> bytes:
    """Greater than all that begins so."""
    return beginning[:-1] + bytes([beginning[-1] + 1])


def _passes(row: Row[*tuple[Any, ...]], filters: Filters) -> bool:
    """Keywords and distance."""
    if filters.keywords:
        its_own = {folded(keyword) for keyword in row.keywords}
        if not its_own.issuperset(map(folded, filters.keywords)):
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
