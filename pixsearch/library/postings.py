"""The index of what photos say: for each term the photos that say it. Derived from the other rows of a photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, delete, insert, select, true
from sqlalchemy.exc import DBAPIError

from pixsearch.library.database import in_parts
from pixsearch.library.photo_rows import PHOTO_ROWS, LibraryPhoto, photo_of
from pixsearch.library.rows import Damage, is_malformed
from pixsearch.library.schema import PHOTOS, POSTINGS
from pixsearch.library.terms import terms_of_photo

_PHOTOS_AT_ONCE = 1000


def post_terms(connection: Connection, content_ids: Sequence[int]) -> None:
    """Bring the postings of all photos of some contents up to date with their rows."""
    for part in in_parts(content_ids):
        _post(connection, PHOTOS.c.content_id.in_(part))


def post_terms_at(connection: Connection, paths: Sequence[bytes]) -> None:
    """Bring the postings of photos up to date with their rows."""
    for part in in_parts(paths):
        _post(connection, PHOTOS.c.path.in_(part))


def post_terms_below(connection: Connection, root_id: int) -> None:
    """Bring the postings of all photos of a root up to date with their rows."""
    _post(connection, PHOTOS.c.root_id == root_id)


def post_all_terms(connection: Connection) -> None:
    """Make all postings anew."""
    connection.execute(delete(POSTINGS))
    _post(connection, true())


def photos_with_other_terms(connection: Connection) -> int:
    """Return of how many photos the postings are not those of their rows."""
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
    strays = set(connection.scalars(select(POSTINGS.c.photo_id).distinct())) - known
    return wrong + len(strays)


def contents_with(connection: Connection, first: bytes, behind: bytes, most: int, damage: Damage) -> list[int]:
    """Return the ids of the contents of photos with a term from `first` up to `behind`, which is not one of them; of
    `most` photos at most. An id may come more than once."""
    statement = select(POSTINGS.c.content_id).where(POSTINGS.c.term >= first, POSTINGS.c.term < behind).limit(most)
    try:
        rows = connection.execute(statement).all()
    except DBAPIError as error:
        if not is_malformed(error):
            raise
        damage.note(POSTINGS.name, None)
        return []
    return [row[0] for row in rows if isinstance(row[0], int)]


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
    """Yield id, content and terms of photos, by ascending ids, many at a time. One that is damaged has no terms."""
    last, damage = -1, Damage()
    in_order = PHOTO_ROWS.where(of_photos).order_by(PHOTOS.c.id).limit(_PHOTOS_AT_ONCE)
    while rows := connection.execute(in_order.where(PHOTOS.c.id > last)).all():
        photos = [photo for row in rows if (photo := photo_of(row, damage)) is not None]
        yield [(photo.id, photo.content_id, _terms(photo)) for photo in photos]
        last = rows[-1][1]


def _terms(photo: LibraryPhoto) -> list[bytes]:
    terms = terms_of_photo(photo.path, photo.root or b"/", photo.metadata)
    return sorted(term.encode() for term in terms)
