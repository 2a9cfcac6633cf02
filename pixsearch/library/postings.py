"""The term index, which lists the photos that have each term. It is derived from the other rows of the photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, String, cast, delete, func, insert, select, true
from sqlalchemy.exc import DBAPIError

from pixsearch.database.database import in_parts
from pixsearch.database.rows import Damage, is_malformed
from pixsearch.database.schema import PHOTOS, POSTINGS
from pixsearch.library.photo_rows import PHOTO_ROWS, LibraryPhoto, photo_of
from pixsearch.library.terms import terms_of_photo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PHOTOS_AT_ONCE = 1000

TermRange: TypeAlias = tuple[bytes, bytes]
"""A range of terms, from the first (inclusive) to the second (exclusive)."""


def post_terms(connection: Connection, content_ids: Sequence[int]) -> None:
    """Update the postings of all photos with these contents from their rows."""
    for part in in_parts(content_ids):
        _post(connection, PHOTOS.c.content_id.in_(part))


def post_terms_at(connection: Connection, paths: Sequence[bytes]) -> None:
    """Update the postings of the photos at these paths from their rows."""
    for part in in_parts(paths):
        _post(connection, PHOTOS.c.path.in_(part))


def post_terms_below(connection: Connection, root_id: int) -> None:
    """Update the postings of all photos in a root from their rows."""
    _post(connection, PHOTOS.c.root_id == root_id)


def post_all_terms(connection: Connection) -> None:
    """Rebuild all postings."""
    connection.execute(delete(POSTINGS))
    _post(connection, true())


def photos_with_other_terms(connection: Connection) -> int:
    """Return the number of photos with wrong postings, including photos that do not exist."""
    wrong, known = 0, set[int]()
    for photos in _terms_of_photos(connection, true()):
        if not photos:
            continue
        ids = [id_ for id_, _, _ in photos]
        found: dict[int, set[tuple[bytes, int]]] = {}
        within = POSTINGS.c.photo_id.between(ids[0], ids[-1])
        for row in connection.execute(select(POSTINGS).where(within)):
            found.setdefault(row.photo_id, set()).add((row.term, row.content_id))
        for id_, content_id, terms in photos:
            known.add(id_)
            wrong += found.get(id_, set()) != {(term, content_id) for term in terms}
    orphans = set(connection.scalars(select(POSTINGS.c.photo_id).distinct())) - known
    return wrong + len(orphans)


def contents_with(connection: Connection, ranges: Sequence[TermRange], most: int, damage: Damage) -> NDArray[np.int64]:
    """Return the sorted ids of contents with a photo that has a term in these ranges, at most `most` per range."""
    import numpy as np  # takes 0.1 s, and only searches need it

    found = [np.empty(0, np.int64)]
    for first, end in ranges:
        of_range = select(POSTINGS.c.content_id).where(POSTINGS.c.term >= first, POSTINGS.c.term < end)
        of_range = of_range.distinct().limit(most)
        ids = of_range.subquery().c.content_id
        # Fetch one string, because fetching thousands of rows takes ten times as long.
        statement = select(func.aggregate_strings(cast(ids, String), ","))
        try:
            text = connection.scalar(statement)
        except DBAPIError as error:
            if not is_malformed(error):
                raise
            damage.note(POSTINGS.name, None)
            continue
        ids_of_range = [id_ for id_ in (text or "").split(",") if id_.isdecimal()]  # a damaged row may have any text
        found.append(np.array(ids_of_range, np.int64))
    return np.unique(np.concatenate(found))


def first_term_among(connection: Connection, terms: Sequence[bytes], damage: Damage) -> bytes | None:
    """Return the first of these terms, sorted by bytes, that any photo has, or None."""
    statement = select(POSTINGS.c.term).where(POSTINGS.c.term.in_(terms)).order_by(POSTINGS.c.term).limit(1)
    return next(iter(_terms_by(connection, statement, damage)), None)


def terms_beginning(connection: Connection, first: bytes, end: bytes, most: int, damage: Damage) -> list[bytes]:
    """Return the first `most` distinct terms from `first` up to, but not including, `end`."""
    term = POSTINGS.c.term
    # Skip from term to term, so that a term with a hundred thousand photos costs no more than a term with one.
    next_from = select(term).where(term < end).order_by(term).limit(1)
    found = select(next_from.where(term >= first).scalar_subquery().label("term")).cte("found", recursive=True)
    following = next_from.where(term > found.c.term).scalar_subquery()
    found = found.union_all(select(following).where(found.c.term.is_not(None)))
    return _terms_by(connection, select(found.c.term).where(found.c.term.is_not(None)).limit(most), damage)


def _terms_by(connection: Connection, statement: Select[bytes], damage: Damage) -> list[bytes]:
    try:
        terms = connection.scalars(statement).all()
    except DBAPIError as error:
        if not is_malformed(error):
            raise
        damage.note(POSTINGS.name, None)
        return []
    return [term for term in terms if isinstance(term, bytes)]  # a damaged row may have any type


def _post(connection: Connection, of_photos: ColumnElement[bool]) -> None:
    for photos in _terms_of_photos(connection, of_photos):
        ids = [id_ for id_, _, _ in photos]
        connection.execute(delete(POSTINGS).where(POSTINGS.c.photo_id.in_(ids)))
        if rows := [
            {"photo_id": id_, "term": term, "content_id": content_id}
            for id_, content_id, terms in photos
            for term in terms
        ]:
            connection.execute(insert(POSTINGS), rows)


def _terms_of_photos(
    connection: Connection, of_photos: ColumnElement[bool]
) -> Iterator[list[tuple[int, int, list[bytes]]]]:
    """Yield the id, content id and terms of each photo, sorted by id, in batches. Damaged photos are omitted."""
    last, damage = -1, Damage()
    in_order = PHOTO_ROWS.where(of_photos).order_by(PHOTOS.c.id).limit(_PHOTOS_AT_ONCE)
    while rows := connection.execute(in_order.where(PHOTOS.c.id > last)).all():
        photos = [photo for row in rows if (photo := photo_of(row, damage)) is not None]
        yield [(photo.id, photo.content_id, _terms(photo)) for photo in photos]
        last = rows[-1][1]


def _terms(photo: LibraryPhoto) -> list[bytes]:
    terms = terms_of_photo(photo.path, photo.root or b"/", photo.metadata)
    return sorted(term.encode(errors="surrogateescape") for term in terms)
