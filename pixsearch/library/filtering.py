"""Apply filters to the photos in a library, and list the values that photos can be filtered by."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, String, cast, func, or_, select

from pixsearch.database.rows import Damage, in_ranges, integers, values_of
from pixsearch.database.schema import CONTENTS, DESCRIPTIONS, PHOTOS
from pixsearch.filters import Circle, Filters
from pixsearch.library.photo_rows import PHOTOS_AND_METADATA, known
from pixsearch.paths import below, is_at_or_below
from pixsearch.unicode_forms import unaccented

ValueKind: TypeAlias = Literal["person", "place", "keyword", "camera", "year", "folder"]

MOST_VALUES = 1000
"""The maximum number of values returned for each kind."""
EARTH_RADIUS_KM = 6371.0088
"""The mean radius of the Earth, R1 (IUGG)."""
_CLOCK = len("2021-03-01T00:00:00")
"""The length of a stored date without its UTC offset. This part is the local time where the photo was taken."""


def contents_that_pass(
    connection: Connection, filters: Filters, damage: Damage, among: Sequence[int] | None = None
) -> list[int]:
    """Return the sorted ids of contents with a photo that passes the filters, limited to `among` if given.

    A photo whose row is too damaged to be filtered passes. The damage is reported when the row is read.
    """
    return sorted(set(integers(_passing(connection, filters, [PHOTOS.c.content_id], among, damage))))


def contents_by_date(connection: Connection, filters: Filters, damage: Damage, *, newest_first: bool) -> list[int]:
    """Return the ids of contents with a photo that passes the filters, sorted by date and path, undated ones last."""
    columns = [PHOTOS.c.content_id, known("taken_at"), PHOTOS.c.path]
    rows: list[Any] = _passing(connection, filters, columns, None, damage)
    # In a damaged row, a value may have any type.
    sound = [row for row in rows if isinstance(row[0], int) and isinstance(row[2], bytes)]
    dated = [row for row in sound if row[1] and isinstance(row[1], str)]
    undated = [row for row in sound if not (row[1] and isinstance(row[1], str))]
    dated.sort(key=itemgetter(2))
    dated.sort(key=lambda row: row[1][:_CLOCK], reverse=newest_first)  # stable
    undated.sort(key=itemgetter(2))
    return list(dict.fromkeys(row[0] for row in (*dated, *undated)))


def contents_best_first(connection: Connection, damage: Damage) -> list[int]:
    """See `Library.best_first`."""
    columns = (CONTENTS.c.id, CONTENTS.c.width, CONTENTS.c.height, CONTENTS.c.size_bytes)
    statement = select(*columns, known("taken_at"), known("date_kind"), PHOTOS.c.path).select_from(PHOTOS_AND_METADATA)
    best: dict[int, tuple[int, bool, int, bytes]] = {}
    rows: list[Any] = in_ranges(connection, statement, damage)
    for content_id, width, height, size_bytes, taken_at, date_kind, path in rows:
        with suppress(TypeError):  # the row is damaged
            has_date = taken_at is not None and date_kind != "guessed"
            rank = (-width * height, not has_date, -size_bytes, path)
            best[content_id] = min(rank, best.get(content_id, rank))
    return sorted(best, key=best.__getitem__)


def photos_that_pass(connection: Connection, filters: Filters, among: Sequence[int], damage: Damage) -> set[int]:
    """Return the ids of photos that pass the filters and whose content id is in `among`."""
    return set(integers(_passing(connection, filters, [PHOTOS.c.id], among, damage)))


def _sql_is_enough(filters: Filters) -> bool:
    words = filters.keywords or filters.people or filters.places
    folders = filters.folder_paths()
    return filters.name is None and not words and filters.near is None and all(map(bytes.isascii, folders))


def _passing(
    connection: Connection,
    filters: Filters,
    columns: Sequence[ColumnElement[Any]],
    among: Sequence[int] | None,
    damage: Damage,
) -> list[Row[Any]]:
    """Return the given columns of photos that pass. SQL applies the filters that it supports, and Python the others."""
    conditions = list(_conditions(connection, filters, damage))
    if among is not None:
        conditions.append(PHOTOS.c.content_id.in_(among))
    statement = select(*columns).select_from(PHOTOS_AND_METADATA).where(*conditions)
    if _sql_is_enough(filters):
        return in_ranges(connection, statement.distinct(), damage)
    names = ("keywords", "people", "location", "place", "latitude", "longitude")
    statement = statement.add_columns(PHOTOS.c.path.label("photo_path"), *(known(name).label(name) for name in names))
    path_passes, words_pass = filters.path_test(), _words_test(filters)

    def passes(row: Row[Any]) -> bool:
        try:
            return words_pass(row) and _is_near(row, filters.near) and path_passes(row.photo_path)
        except (AttributeError, TypeError, ValueError):  # in a damaged row, a value may have any type
            return True

    return in_ranges(connection, statement, damage, passes)


def _conditions(connection: Connection, filters: Filters, damage: Damage) -> Iterator[ColumnElement[bool]]:
    """Yield conditions for the filters that SQL can evaluate."""
    taken_at = func.substr(known("taken_at"), 1, _CLOCK)
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
    if filters.rating is not None:
        yield known("rating") >= filters.rating
    if filters.camera is not None:
        # There are few cameras, and SQLite ignores case only in ASCII.
        cameras = [values_of(connection, table.c.camera, damage) for table in (CONTENTS, DESCRIPTIONS)]
        found = [one for one in set().union(*cameras) if isinstance(one, str)]
        words = unaccented(filters.camera).split()
        yield known("camera").in_([one for one in found if all(word in unaccented(one) for word in words)])
    if filters.folders:
        # Compare only the ASCII prefix, because the rest of a name may have several Unicode forms.
        prefixes = [_ascii_prefix(below(folder)) for folder in filters.folder_paths()]
        yield or_(*((PHOTOS.c.path >= prefix) & (PHOTOS.c.path < _upper_bound(prefix)) for prefix in prefixes))


def _ascii_prefix(path: bytes) -> bytes:
    """Return a prefix of a path that is the same in every Unicode form."""
    ascii_bytes = next((index for index, byte in enumerate(path) if byte >= 128), None)
    # The last ASCII letter may be the base of a combining accent, so it is left out.
    return path if ascii_bytes is None else path[: max(ascii_bytes - 1, 1)]


def _upper_bound(prefix: bytes) -> bytes:
    """Return the smallest byte string greater than every byte string with this prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def _words_test(filters: Filters) -> Callable[[Row[Any]], bool]:
    """Return a function that tests whether a photo's row matches the keyword, people and place filters."""
    keywords, people, places = (
        [unaccented(word) for word in words] for words in (filters.keywords, filters.people, filters.places)
    )

    def test(row: Row[Any]) -> bool:
        return (
            _are_in(keywords, row.keywords)
            and _are_in(people, row.people)
            and _are_in(places, [text for text in (row.location, row.place) if text])
        )

    return test


def _are_in(words: Sequence[str], texts: Sequence[str]) -> bool:
    """Return whether every word occurs in at least one of the texts."""
    if not words:
        return True
    plain = [unaccented(text) for text in texts]
    return all(any(word in text for text in plain) for word in words)


def _is_near(row: Row[*tuple[Any, ...]], circle: Circle | None) -> bool:
    return circle is None or distance_km(row.latitude, row.longitude, *circle[:2]) <= circle.radius_km


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance in km between two points given in degrees.

    The distance is computed with the haversine formula (Sinnott, 1984).
    """
    phi, other_phi = math.radians(latitude), math.radians(other_latitude)
    half_across = math.radians(other_longitude - longitude) / 2
    haversine = math.sin((other_phi - phi) / 2) ** 2 + math.cos(phi) * math.cos(other_phi) * math.sin(half_across) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(haversine)))


class ValueCount(NamedTuple):
    """A value and the number of photos that have it."""

    value: str
    photos: int


def values_of_photos(
    connection: Connection, roots: Sequence[bytes], damage: Damage
) -> Mapping[ValueKind, list[ValueCount]]:
    """See `Library.values`."""
    found: dict[ValueKind, Counter[str]] = {
        "person": _of_lists(connection, "people", damage),
        "place": _of_places(connection, damage),
        "keyword": _of_lists(connection, "keywords", damage),
        "camera": Counter(dict(_counted(connection, known("camera"), damage))),
        "year": Counter(dict(_counted(connection, func.substr(known("taken_at"), 1, 4), damage))),
        "folder": _of_folders(connection, roots, damage),
    }
    return {
        kind: [ValueCount(*one) for one in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_VALUES]]
        for kind, counts in found.items()
    }


def _counted(connection: Connection, column: ColumnElement[Any], damage: Damage) -> Iterator[tuple[str, int]]:
    """Yield each text in a column with the number of photos that have it. A text may be yielded more than once."""
    statement = select(column, func.count()).select_from(PHOTOS_AND_METADATA).group_by(column)
    rows: list[Any] = in_ranges(connection, statement, damage)
    yield from ((text, count) for text, count in rows if text and isinstance(text, str))


def _of_lists(connection: Connection, name: str, damage: Damage) -> Counter[str]:
    counts = Counter[str]()
    # Cast to text, because PostgreSQL cannot compare JSON for equality.
    for text, count in _counted(connection, cast(known(name), String), damage):
        try:
            values = json.loads(text)
        except ValueError:  # the row is damaged
            continue
        for value in values if isinstance(values, list) else ():
            counts[str(value)] += count
    return counts


def _of_places(connection: Connection, damage: Damage) -> Counter[str]:
    """Count photos by place. Each part of a place such as "Kyoto, Japan" is counted separately."""
    counts = Counter[str]()
    for name in ("location", "place"):
        for text, count in _counted(connection, known(name), damage):
            for part in {part.strip() for part in text.split(",")} - {""}:
                counts[part] += count
    return counts


def _of_folders(connection: Connection, roots: Sequence[bytes], damage: Damage) -> Counter[str]:
    """Count the photos below each folder, for all folders up to the roots.

    Folders whose names are not valid UTF-8 are omitted.
    """
    direct = Counter[bytes]()
    rows: list[Any] = in_ranges(connection, select(PHOTOS.c.path), damage)
    for (path,) in rows:
        if isinstance(path, bytes):
            direct[path.rpartition(b"/")[0]] += 1
    counts = Counter[str]()
    for folder, count in direct.items():
        for one in _up_to_root(folder, roots):
            with suppress(UnicodeDecodeError):
                counts[one.decode()] += count
    return counts


def _up_to_root(folder: bytes, roots: Sequence[bytes]) -> Iterator[bytes]:
    while any(is_at_or_below(folder, root) for root in roots):
        yield folder
        folder = folder.rpartition(b"/")[0]
