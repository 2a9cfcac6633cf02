"""Read the timeline of a library: its pictures by date, newest first, then undated pictures by folder.

It is read from the term index, where each photo has a term for its position (`terms.timeline_term`). A picture with
several photos is listed once, at the first of their positions. Pictures taken in the same second, and undated pictures
in the same folder, are sorted by id.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, select, tuple_
from sqlalchemy.exc import DBAPIError

from pixsearch.database.database import in_parts
from pixsearch.database.rows import Damage, in_halves, is_malformed
from pixsearch.database.schema import PHOTOS, POSTINGS
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.library.candidates import photos_by_content
from pixsearch.library.filtering import contents_that_pass
from pixsearch.library.records import TimelinePart, TimelinePicture
from pixsearch.library.terms import DATED, UNDATED, beginning_with
from pixsearch.storage import FilePath, to_path

MOST_IN_PART = 500
"""The maximum number of pictures in one part of the timeline."""
_READ_FOR_PARTS, _READ_FOR_PICTURES = 100_000, 500
"""The number of rows read by one statement."""
_DATED, _UNDATED = beginning_with(DATED), beginning_with(UNDATED)
_DAY = slice(len(DATED), len(DATED) + len("2021-03-15"))

_Entry: TypeAlias = tuple[bytes, int]
"""A photo in the timeline: its term and its content id."""


def timeline_parts(connection: Connection, filters: Filters, damage: Damage) -> list[TimelinePart]:
    """See `Library.timeline`."""
    parts = []
    for label, group in groupby(_labelled(connection, filters, damage), key=itemgetter(0)):
        while ids := [content_id for _, content_id in islice(group, MOST_IN_PART)]:
            parts.append(TimelinePart(*_day_or_folder(label), ids[0], len(ids)))
    return parts


def timeline_ids(connection: Connection, filters: Filters, damage: Damage) -> list[int]:
    """See `Library.timeline_ids`."""
    return [content_id for _, content_id in _labelled(connection, filters, damage)]


def _labelled(connection: Connection, filters: Filters, damage: Damage) -> Iterator[_Entry]:
    """Yield the label of the part and the id of each picture that passes the filters, in timeline order."""
    passing = _passing(connection, filters, damage)
    seen = set[int]()
    for entries in _entries(connection, None, _READ_FOR_PARTS, damage):
        for term, content_id in entries:
            if content_id not in seen and (passing is None or content_id in passing):
                yield (term[: _DAY.stop] if _is_dated(term) else term), content_id
            seen.add(content_id)


def timeline_pictures(
    connection: Connection, filters: Filters, start: int | None, count: int, damage: Damage
) -> list[TimelinePicture] | None:
    """See `Library.timeline_pictures`."""
    first: _Entry | None = None
    if start is not None:
        if (term := _first_of(connection, [start], damage).get(start)) is None:
            return None
        first = term, start
    shown: dict[int, bytes] = {}
    for entries in _passing_entries(connection, filters, first, damage):
        first_of = _first_of(connection, [content_id for _, content_id in entries], damage)
        shown |= {content_id: term for term, content_id in entries if first_of.get(content_id) == term}
        if len(shown) >= count:
            break
    in_page = dict(islice(shown.items(), count))
    photos = photos_by_content(connection, list(in_page), filters, damage)
    pictures = []
    for content_id, term in in_page.items():
        found = photos[content_id][0] if content_id in photos else []
        paths = tuple(to_path(photo.path) for photo in found)
        metadata = found[0].metadata if found else None
        pictures.append(TimelinePicture(content_id, *_day_or_folder(term), paths, metadata))
    return pictures


def _passing_entries(
    connection: Connection, filters: Filters, first: _Entry | None, damage: Damage
) -> Iterator[Sequence[_Entry]]:
    """Yield the entries of pictures that pass the filters, in batches that fit into one statement."""
    passing = _passing(connection, filters, damage)
    for entries in _entries(connection, first, _READ_FOR_PICTURES if passing is None else _READ_FOR_PARTS, damage):
        yield from in_parts([entry for entry in entries if passing is None or entry[1] in passing])


def _passing(connection: Connection, filters: Filters, damage: Damage) -> set[int] | None:
    """Return the ids of all pictures that pass the filters, or None if there are no filters."""
    return None if filters == NO_FILTERS else set(contents_that_pass(connection, filters, damage))


def _day_or_folder(term: bytes) -> tuple[str | None, FilePath | None]:
    """Return (day, None) for a term with a date, or (None, folder) for a term without a date."""
    if _is_dated(term):
        return term[_DAY].decode(errors="replace"), None
    return None, to_path(term[len(UNDATED) :])


def _entries(connection: Connection, first: _Entry | None, at_once: int, damage: Damage) -> Iterator[list[_Entry]]:
    """Yield the entries of photos in timeline order, starting at `first`, in batches."""
    term, content_id = POSTINGS.c.term, POSTINGS.c.content_id
    columns = select(term, content_id).limit(at_once)
    if first is None or _is_dated(first[0]):
        dated = columns.where(term >= _DATED[0]).order_by(term.desc(), content_id.desc())
        before = (_DATED[1], 0) if first is None else (first[0], first[1] + 1)
        yield from _rows_beyond(connection, dated, operator.lt, before, damage)
        first = None
    undated = columns.where(term < _UNDATED[1]).order_by(term, content_id)
    before = (_UNDATED[0], 0) if first is None else (first[0], first[1] - 1)
    yield from _rows_beyond(connection, undated, operator.gt, before, damage)


def _rows_beyond(
    connection: Connection, statement: Select[_Entry], is_beyond: Callable[..., Any], last: _Entry, damage: Damage
) -> Iterator[list[_Entry]]:
    """Yield the rows beyond `last`, in batches as large as the statement's limit. Stop if a row cannot be read."""
    key = tuple_(POSTINGS.c.term, POSTINGS.c.content_id)
    while True:
        try:
            with closing(connection.execute(statement.where(is_beyond(key, last)))) as result:
                rows = result.cursor.fetchall()  # plain tuples, which take half as long as SQLAlchemy rows
        except DBAPIError as error:
            if not is_malformed(error):
                raise
            damage.note(POSTINGS.name, None)
            return
        entries = [row for row in rows if isinstance(row[0], bytes) and isinstance(row[1], int)]
        if not entries or not is_beyond(entries[-1], last):
            return
        yield entries
        last = entries[-1]


def _first_of(connection: Connection, content_ids: Sequence[int], damage: Damage) -> dict[int, bytes]:
    """Return the timeline term of the first photo of each picture, by picture id."""
    statement = (
        select(PHOTOS.c.content_id, POSTINGS.c.term)
        .join(POSTINGS, POSTINGS.c.photo_id == PHOTOS.c.id)
        .where(POSTINGS.c.term.between(_DATED[0], _DATED[1]) | POSTINGS.c.term.between(_UNDATED[0], _UNDATED[1]))
    )

    def read(ids: Sequence[int]) -> list[tuple[int, bytes]]:
        rows = connection.execute(statement.where(PHOTOS.c.content_id.in_(ids)))
        return [(row.content_id, row.term) for row in rows]

    terms: dict[int, list[bytes]] = {}
    for content_id, term in in_halves(content_ids, read, partial(damage.note, POSTINGS.name)):
        terms.setdefault(content_id, []).append(term)
    return {
        content_id: max(filter(_is_dated, its_terms), default=min(its_terms)) for content_id, its_terms in terms.items()
    }


def _is_dated(term: bytes) -> bool:
    return term < _DATED[1]
