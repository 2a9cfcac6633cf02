"""The files that a library knows, to be compared with the files on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, case, null, select

from pixsearch.database.database import Database
from pixsearch.database.schema import CONTENTS, FAILURES, PHOTOS
from pixsearch.library.records import OUTDATED, KnownFile
from pixsearch.library.switching import size_to_compare, unfinished_model
from pixsearch.metadata import METADATA_VERSION
from pixsearch.paths import below, prefix_upper_bound

_ROWS_AT_ONCE = 10_000


def known_photos(database: Database, folder: bytes) -> Iterator[list[KnownFile]]:
    """See `Library.known_photos`."""
    sidecars = case((PHOTOS.c.metadata_version < METADATA_VERSION, OUTDATED), else_=PHOTOS.c.sidecars)
    with database.reading() as connection:
        model_id = unfinished_model(connection)
    size = PHOTOS.c.size_bytes if model_id is None else size_to_compare(model_id)
    return _known(database, folder, PHOTOS, size, sidecars)


def known_failures(database: Database, folder: bytes) -> Iterator[list[KnownFile]]:
    """See `Library.known_failures`."""
    return _known(database, folder, FAILURES, FAILURES.c.size_bytes, null())


def known_digests(database: Database, folder: bytes) -> Iterator[tuple[KnownFile, bytes]]:
    """See `Library.known_digests`."""
    digests = select(PHOTOS.c.path, CONTENTS.c.digest).join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
    for files in known_photos(database, folder):
        with database.reading() as connection:
            rows = connection.execute(digests.where(PHOTOS.c.path.in_([file[0] for file in files])))
            found = {row.path: row.digest for row in rows}
        yield from ((file, found[file[0]]) for file in files if file[0] in found)


def _known(
    database: Database, folder: bytes, table: Table, size: ColumnElement[Any], sidecars: ColumnElement[Any]
) -> Iterator[list[KnownFile]]:
    # In parts, each a short transaction: a writer could not commit while one is open.
    facts = table.c.path, size, table.c.mtime_ns, sidecars
    columns = select(*facts).order_by(table.c.path).limit(_ROWS_AT_ONCE)
    if rows := _files(database, columns.where(table.c.path == folder)):  # one that could not be listed
        yield rows
    last = below(folder)
    while rows := _files(database, columns.where(table.c.path > last, table.c.path < prefix_upper_bound(folder))):
        yield rows
        last = rows[-1][0]


def _files(database: Database, query: Select[Any]) -> list[KnownFile]:
    with database.reading() as connection, closing(connection.execute(query)) as result:
        # The driver's own rows: bare tuples, see FileFacts, in half the time that SQLAlchemy's take.
        return cast(list[KnownFile], result.cursor.fetchall())
