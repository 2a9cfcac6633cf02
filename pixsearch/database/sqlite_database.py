"""A library in a folder, which contains the SQLite database library.db and the files derived from it."""

from __future__ import annotations

import json
import operator
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError

from pixsearch.database.database import Database, newer
from pixsearch.database.lock import only_writer
from pixsearch.database.permissions import mode_of_files
from pixsearch.database.rows import is_malformed
from pixsearch.database.schema import SCHEMA_VERSION
from pixsearch.durable import new_file
from pixsearch.errors import LibraryBusy, LibraryDamaged, LibraryError
from pixsearch.settings import DATABASE_NAME

BUSY_TIMEOUT_S = 30.0

_text = operator.methodcaller("decode", "utf-8", "surrogateescape")
"""Decode text even if it is not valid UTF-8. Damage is detected by the checksum of the row."""


class SqliteDatabase(Database):
    """A SQLite database with a rollback journal and short transactions.

    A write-ahead log would not block readers during a commit. However, it requires shared memory (which rules out
    network drives) and write permission even for reading, and it can corrupt the database in nearly all SQLite versions
    before 3.51.3 (the "WAL-reset" bug).
    """

    repair_hint = "To recover the readable data, run: pixsearch repair"
    objects = (
        "SELECT name, CASE WHEN sql LIKE 'CREATE VIRTUAL%' THEN 'virtual table' ELSE type END FROM sqlite_master"
        " WHERE name NOT LIKE 'sqlite_autoindex_%'"
    )

    def __init__(self, folder: Path) -> None:
        self._file = folder / DATABASE_NAME
        super().__init__(
            str(folder), folder, "", _engine(self._file, on_truncated=lambda: self.damage.note(DATABASE_NAME, None))
        )

    def is_there(self) -> bool:
        if self._file.is_file():
            return True
        if os.path.lexists(self._file):
            what = "is a broken link" if not self._file.exists() else "is not a regular file"
            raise LibraryError(
                f"{self._file} {what}", "Move the file, or choose a different library with --library FOLDER"
            )
        return False

    def check(self) -> None:
        if not self._file.stat().st_size and any(self.folder.glob("vectors-*.faiss")):
            raise LibraryDamaged(
                f"{self._file} is empty, although the folder contains vectors of a library",
                "Restore the file from a backup, or move the folder elsewhere and index the photos again",
            )
        super().check()

    def make(self) -> None:
        try:
            how = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._file, how, mode_of_files(self.folder)))
        except OSError as error:
            if not self._file.is_file():  # otherwise another process has created it
                raise cannot_make(self.folder, error) from error

    def only_writer(self) -> AbstractContextManager[None]:
        return only_writer(self.folder)

    def back_up(self) -> None:
        """Back up library.db to library.db.before-VERSION. SQLite makes the copy, because the file may be in use."""
        backup = self.folder / f"{DATABASE_NAME}.before-{SCHEMA_VERSION}"
        try:
            with new_file(backup, mode_of_files(self.folder)) as partial:
                with closing(self._engine.raw_connection()) as source, closing(sqlite3.connect(partial.name)) as target:
                    assert isinstance(source.driver_connection, sqlite3.Connection)
                    source.driver_connection.backup(target)
                partial.seek(0, os.SEEK_END)
        except (sqlite3.Error, OSError) as error:
            raise LibraryError(
                f"cannot back up {self.name}, which must be updated for this version of pixsearch: {error}",
                "Free some disk space, or check the folder's permissions; nothing was changed",
            ) from error

    def reclaim_space(self) -> None:
        with suppress(sqlite3.Error), closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("VACUUM")  # if this fails, the space is reused for new photos

    def size_bytes(self, connection: Connection) -> int:  # noqa: ARG002
        return self._file.stat().st_size

    def problems(self, connection: Connection) -> list[str]:
        try:
            report = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        except DBAPIError as error:
            if (known := self._library_error(error)) is None:
                raise
            return [known.message]
        return [str(line) for line in report if line != "ok"]

    def orphans(self, connection: Connection) -> list[str]:
        try:
            found = connection.execute(text("PRAGMA foreign_key_check")).all()
        except DBAPIError as error:
            if not is_malformed(error):
                raise
            return []
        return [f"a row in {row[0]} has no parent in {row[2]}" for row in found]

    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:
        version = None
        with suppress(LibraryDamaged):
            version = self._schema_version()
        if version is not None and version > SCHEMA_VERSION:
            raise newer(self.name, version)
        engine = _engine(self._file, to_rescue=True)
        try:
            with self._library_errors(), engine.connect() as source:
                return self._replaced_by_copy(source, copy)
        except LibraryDamaged as error:
            raise LibraryDamaged(
                error.message,
                "Move the library folder elsewhere and index the photos again; your photos are not affected",
            ) from error
        finally:
            engine.dispose()

    def _replaced_by_copy(self, source: Connection, copy: Callable[[Connection, Connection], int]) -> Path:
        try:
            new = _empty_file(self.folder)
            try:
                engine = _engine(new, to_rescue=True)
                with self._library_errors(), engine.execution_options(begin="IMMEDIATE").begin() as target:
                    if not copy(source, target):
                        raise self._damaged("no rows can be read")
                engine.dispose()
                kept = _replace(new, self._file)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise LibraryError(
                f"{self.name} cannot be repaired: {error.strerror}", "Free some disk space, then try again"
            ) from error
        self._engine.dispose()  # close connections to the old file
        return kept

    def rebuild_indexes(self, connection: Connection) -> None:
        connection.execute(text("REINDEX"))

    def _begin_writing(self) -> AbstractContextManager[Connection]:
        return self._engine.execution_options(begin="IMMEDIATE").begin()

    def _library_error(self, error: DBAPIError) -> LibraryError | None:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary error code
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LibraryBusy(f"{self._file} is locked by another process", "Try again when that process has finished")
        if code == sqlite3.SQLITE_FULL:
            return LibraryError(
                f"the disk is full: cannot write to {self.name}",
                "Free some space, then run the command again; stored data is not lost",
            )
        if code == sqlite3.SQLITE_READONLY and len(self.damage):
            return self._damaged("the file is truncated")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            return LibraryError(
                f"cannot access {self._file}: {error.orig}", "Check the disk and the permissions of the folder"
            )
        if is_malformed(error) or str(error.orig).startswith(
            ("no such table", "no such column", "CHECK constraint failed")
        ):
            return self._damaged(error.orig)
        return None


def cannot_make(folder: Path, error: OSError) -> LibraryError:
    return LibraryError(
        f"cannot create the library {folder}: {error.strerror}", "Choose a different folder with --library FOLDER"
    )


def _empty_file(folder: Path) -> Path:
    """Create an empty file with a unique name in a folder. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f"{DATABASE_NAME}.", dir=folder)
    os.close(descriptor)
    return Path(name)


def _replace(new: Path, damaged: Path) -> Path:
    """Replace the damaged file with the new one, and return the path where the damaged file is kept. Raises OSError."""
    kept = damaged.with_name(f"{damaged.name}.damaged")
    shutil.copymode(damaged, new)
    kept.unlink(missing_ok=True)
    try:
        os.link(damaged, kept)
    except OSError:  # not all drives support hard links
        shutil.copyfile(damaged, kept)
    # Otherwise SQLite would apply the journal of the damaged file to the new one.
    damaged.with_name(f"{damaged.name}-journal").unlink(missing_ok=True)
    new.replace(damaged)
    return kept


def _json(value: Any) -> Any:
    """Parse JSON, or return an invalid value unchanged. Damage is detected by the checksum of the row."""
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _engine(database: Path, *, on_truncated: Callable[[], object] = lambda: None, to_rescue: bool = False) -> Engine:
    """Return an engine for a database file.

    Args:
        database: the path of the file, which must exist.
        on_truncated: called if the file is shorter than specified in its header. Such a file is opened read-only.
        to_rescue: do not enforce foreign keys, so that rows can be copied in any order.
    """

    beside = [database.with_name(f"{database.name}-{what}") for what in ("journal", "wal", "shm")]

    def connect() -> sqlite3.Connection:
        for file in beside:
            if os.path.lexists(file) and (file.is_symlink() or not file.is_file()):  # SQLite would block on a pipe
                raise LibraryDamaged(f"{file} is not a regular file", "Move the file elsewhere, then try again")
        connection = sqlite3.connect(
            f"{database.as_uri()}?mode=rw",  # without a URI, SQLite would create a missing file
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # the pool gives a connection to only one thread at a time
        )
        connection.text_factory = _text
        if not to_rescue:
            connection.execute("PRAGMA foreign_keys = ON")
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            # The file is truncated: make it read-only, and read what is left.
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA synchronous = FULL")
            on_truncated()
        return connection

    engine = sqlalchemy.create_engine(
        "sqlite://", creator=connect, poolclass=sqlalchemy.QueuePool, json_deserializer=_json
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # The sqlite3 module would begin deferred transactions itself, just before the first write. A transaction that
        # reads before it writes could then fail with "database is locked" without waiting for the timeout.
        kind = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine
