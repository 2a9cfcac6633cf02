"""List the folders in a library for browsing, and the files in a library for comparison with the files on disk.

Subfolders are not stored. They are counted in one pass over the database index on photo paths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, LargeBinary, Row, Select, Table, case, func, literal, null, select

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.database import Database
from pixsearch.database.rows import Damage, in_ranges, sound_rows
from pixsearch.database.schema import CONTENTS, FAILURES, PHOTOS, ROOTS
from pixsearch.library.records import OUTDATED, Folder, FolderListing, KnownFile
from pixsearch.library.switching import size_to_compare, unfinished_model
from pixsearch.metadata import METADATA_VERSION
from pixsearch.paths import below, is_at_or_below, prefix_upper_bound
from pixsearch.storage import is_folder, is_remote

_ROWS_AT_ONCE = 10_000
_NO_NAME = b""
"""The key for photos directly in the folder, in place of a subfolder name."""


class _Count(NamedTuple):
    """Counts for a folder, according to the database index on paths."""

    photos: int
    newest: int
    """The id of the most recently indexed photo."""
    has_folders: bool


def root_rows(connection: Connection, damage: Damage) -> list[Row[Any]]:
    """Return the undamaged rows of the roots, sorted by path."""
    rows = connection.execute(stored(ROOTS).order_by(ROOTS.c.path)).all()
    sound = [row for row in rows if is_sound(ROOTS, row)]
    if len(sound) < len(rows):
        damage.note(ROOTS.name, None)
    return sound


def folder_listing(
    connection: Connection, path: bytes | None, after: bytes | None, most: int, damage: Damage
) -> FolderListing | None:
    """See `Library.folders_in`."""
    # Checking whether remote storage is online is slow, so use the result from the last run.
    online = {
        row.path: row.online and (is_remote(row.path) or is_folder(row.path)) for row in root_rows(connection, damage)
    }
    tops = [root for root in online if not any(is_at_or_below(root, other) for other in online if other != root)]
    if path is None and len(tops) != 1:
        return _listing_of_tops(connection, tops, online, damage)
    path = tops[0] if path is None else path.rstrip(b"/") or b"/"
    top = next((one for one in tops if is_at_or_below(path, one)), None)
    if top is None:
        return None
    counts = _count_by_subfolder(connection, path, damage)
    if not (counts or path in online):
        return None
    names = sorted(counts.keys() - {_NO_NAME}, key=_by_name)
    if after is not None:
        names = [name for name in names if _by_name(name) > _by_name(after)]
    page = {below(path) + name: counts[name] for name in names[:most]}
    return FolderListing(
        path=path,
        parents=_parents(path, top),
        photos=sum(count.photos for count in counts.values()),
        online=_is_online(path, online),
        folders=_folders(connection, page, online, damage),
        last=names[most - 1] if len(names) > most else None,
    )


def _listing_of_tops(
    connection: Connection, tops: Collection[bytes], online: Mapping[bytes, bool], damage: Damage
) -> FolderListing:
    page = {}
    for top in tops:
        counts = _count_by_subfolder(connection, top, damage)
        photos, newest = (
            sum(one.photos for one in counts.values()),
            max((one.newest for one in counts.values()), default=0),
        )
        page[top] = _Count(photos, newest, has_folders=bool(counts.keys() - {_NO_NAME}))
    folders = _folders(connection, page, online, damage)
    return FolderListing(None, (), sum(one.photos for one in folders), True, folders, None)


def _count_by_subfolder(connection: Connection, folder: bytes, damage: Damage) -> dict[bytes, _Count]:
    """Return the counts for each subfolder, by name. The names come from the database index, which may be damaged."""
    rest: ColumnElement[bytes] = func.substr(PHOTOS.c.path, len(below(folder)) + 1, type_=LargeBinary)
    slash = _index_of_slash(connection, rest)
    name = case((slash > 0, func.substr(rest, 1, slash - 1)), else_=literal(_NO_NAME, LargeBinary))
    deeper = case((slash > 0, _index_of_slash(connection, func.substr(rest, slash + 1, type_=LargeBinary))), else_=0)
    statement = (
        select(name.label("subfolder"), func.count(), func.max(PHOTOS.c.id), func.max(deeper))
        .where(_is_below(folder))
        .group_by("subfolder")
    )
    counts: dict[bytes, _Count] = {}
    rows: list[Any] = in_ranges(connection, statement, damage)
    for subfolder, photos, newest, deepest in rows:
        if not isinstance(subfolder, bytes):  # the row is damaged
            damage.note(PHOTOS.name, newest)
            continue
        before = counts.get(subfolder, _Count(0, 0, False))
        counts[subfolder] = _Count(
            before.photos + photos, max(before.newest, newest), before.has_folders or deepest > 0
        )
    return counts


def _index_of_slash(connection: Connection, path: ColumnElement[bytes]) -> ColumnElement[int]:
    """Return an SQL expression for the 1-based index of the first slash, or 0 if there is none."""
    slash = literal(b"/", LargeBinary)
    if connection.dialect.name == "sqlite":
        return func.instr(path, slash)
    return func.position(slash.op("IN")(path))


def _is_below(folder: bytes) -> ColumnElement[bool]:
    return (PHOTOS.c.path > below(folder)) & (PHOTOS.c.path < prefix_upper_bound(folder))


def _folders(
    connection: Connection, counts: Mapping[bytes, _Count], online: Mapping[bytes, bool], damage: Damage
) -> tuple[Folder, ...]:
    """Return a `Folder` for each path in `counts`, except for folders whose photos all have damaged rows.

    Roots are always included.
    """

    def read(ids: Collection[int]) -> list[Row[Any]]:
        return list(connection.execute(stored(PHOTOS).where(PHOTOS.c.id.in_(ids))).all())

    newest = {row.id: row for row in sound_rows(PHOTOS, [one.newest for one in counts.values()], read, damage)}
    folders = []
    for path, count in counts.items():
        row = newest.get(count.newest)
        if row is None or not is_at_or_below(row.path, path):
            row = _another_photo(connection, path, damage)
        if row is not None or path in online:
            cover = None if row is None else row.content_id
            folders.append(Folder(path, count.photos, cover, count.has_folders, _is_online(path, online)))
    return tuple(folders)


def _another_photo(connection: Connection, folder: bytes, damage: Damage) -> Row[Any] | None:
    """Return the newest sound row of a photo below a folder, or None."""
    rows = in_ranges(connection, stored(PHOTOS).where(_is_below(folder)), damage, partial(is_sound, PHOTOS))
    return max(rows, key=lambda row: int(row.id), default=None)


def _is_online(path: bytes, online: Mapping[bytes, bool]) -> bool:
    """Return whether the innermost root that contains a folder is online."""
    return online[max((root for root in online if is_at_or_below(path, root)), key=len)]


def _parents(path: bytes, top: bytes) -> tuple[bytes, ...]:
    """Return the parents of a folder, from the root down."""
    parents = []
    while path != top:
        path = path.rpartition(b"/")[0] or b"/"
        parents.append(path)
    return tuple(reversed(parents))


def _by_name(name: bytes) -> tuple[str, bytes]:
    """Return a case-insensitive sort key for a folder name."""
    return name.decode(errors="surrogateescape").casefold(), name


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
    # Use many short transactions, because a writer cannot commit while one is open.
    facts = table.c.path, size, table.c.mtime_ns, sidecars
    columns = select(*facts).order_by(table.c.path).limit(_ROWS_AT_ONCE)
    # A folder that could not be listed is itself a failure.
    if rows := _files(database, columns.where(table.c.path == folder)):
        yield rows
    last = below(folder)
    while rows := _files(database, columns.where(table.c.path > last, table.c.path < prefix_upper_bound(folder))):
        yield rows
        last = rows[-1][0]


def _files(database: Database, query: Select[Any]) -> list[KnownFile]:
    with database.reading() as connection, closing(connection.execute(query)) as result:
        # The driver's own rows are plain tuples (see FileFacts) and take half as long to fetch as SQLAlchemy rows.
        return cast(list[KnownFile], result.cursor.fetchall())
