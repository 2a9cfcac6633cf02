"""What the photos of a library can be filtered by: the values that they have, and how many have each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, String, cast, func, select

from pixsearch.database.rows import Damage, in_ranges
from pixsearch.database.schema import PHOTOS
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, known
from pixsearch.paths import is_at_or_below

ValueKind: TypeAlias = Literal["person", "place", "keyword", "camera", "year", "folder"]

MOST_VALUES = 1000
"""Of each kind."""


class ValueCount(NamedTuple):
    """A value, and how many photos have it."""

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
    """Yield the different texts in a column of photos, and of how many photos each is; some may come twice."""
    statement = select(column, func.count()).select_from(PHOTOS_AND_METADATA).group_by(column)
    rows: list[Any] = in_ranges(connection, statement, damage)
    yield from ((text, count) for text, count in rows if text and isinstance(text, str))


def _of_lists(connection: Connection, name: str, damage: Damage) -> Counter[str]:
    counts = Counter[str]()
    # As text: PostgreSQL has no equality of JSON.
    for text, count in _counted(connection, cast(known(name), String), damage):
        try:
            values = json.loads(text)
        except ValueError:  # of a damaged row
            continue
        for value in values if isinstance(values, list) else ():
            counts[str(value)] += count
    return counts


def _of_places(connection: Connection, damage: Damage) -> Counter[str]:
    """Count each part of "Kyoto, Japan" by itself."""
    counts = Counter[str]()
    for name in ("location", "place"):
        for text, count in _counted(connection, known(name), damage):
            for part in {part.strip() for part in text.split(",")} - {""}:
                counts[part] += count
    return counts


def _of_folders(connection: Connection, roots: Sequence[bytes], damage: Damage) -> Counter[str]:
    """Count the photos below each folder, from the roots on; those whose names are text."""
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
