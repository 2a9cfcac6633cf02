"""A library in a folder: library.db, an SQLite database, with what is derived beside it."""

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
"""Reads text, also what rot has made of it: its checksum tells."""


class SqliteDatabase(Database):
    """It keeps SQLite's rollback journal and short transactions.

    The write-ahead log would let readers go on during a commit, but it needs shared memory (no network drives), cannot
    be read in a folder without write permission, and can corrupt the database in almost every SQLite before 3.51.3 (the
    "WAL-reset" bug): not worth a second way to run.
    """

    mending = "Save what can be read with: pixsearch repair"
    objects = (
        "SELECT name, CASE WHEN sql LIKE 'CREATE VIRTUAL%' THEN 'virtual table' ELSE type END FROM sqlite_master"
        " WHERE name NOT LIKE 'sqlite_autoindex_%'"
    )

    def __init__(self, folder: Path) -> None:
        self._file = folder / DATABASE_NAME
        super().__init__(
            str(folder), folder, "", _engine(self._file, on_cut=lambda: self.damage.note(DATABASE_NAME, None))
        )

    def is_there(self) -> bool:
        if self._file.is_file():
            return True
        if os.path.lexists(self._file):
            what = "leads nowhere" if not self._file.exists() else "is not a regular file"
            raise LibraryError(f"{self._file} {what}", "Move it away, or choose another library with --library FOLDER")
        return False

    def check(self) -> None:
        if not self._file.stat().st_size and any(self.folder.glob("vectors-*.faiss")):
            raise LibraryDamaged(
                f"{self._file} is empty, though there was a library in it",
                "Put a copy of it back, or move the library's folder away and index again",
            )
        super().check()

    def make(self) -> None:
        try:
            how = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._file, how, mode_of_files(self.folder)))
        except OSError as error:
            if not self._file.is_file():  # made by another process meanwhile
                raise cannot_make(self.folder, error) from error

    def only_writer(self) -> AbstractContextManager[None]:
        return only_writer(self.folder)

    def back_up(self) -> None:
        """To library.db.before-VERSION beside it, as SQLite copies it, which a copy of a file in use is not."""
        backup = self.folder / f"{DATABASE_NAME}.before-{SCHEMA_VERSION}"
        try:
            with new_file(backup, mode_of_files(self.folder)) as partial:
                with closing(self._engine.raw_connection()) as source, closing(sqlite3.connect(partial.name)) as target:
                    assert isinstance(source.driver_connection, sqlite3.Connection)
                    source.driver_connection.backup(target)
                partial.seek(0, os.SEEK_END)
        except (sqlite3.Error, OSError) as error:
            raise LibraryError(
                f"{self.name} is of an older pixsearch and could not be copied before its update: {error}",
                "Make room, or see to its permissions; nothing was changed",
            ) from error

    def give_back_room(self) -> None:
        with suppress(sqlite3.Error), closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("VACUUM")  # else the next photos take the room

    def size_bytes(self, connection: Connection) -> int:  # noqa: ARG002
        return self._file.stat().st_size

    def problems(self, connection: Connection) -> list[str]:
        try:
            said = connection.execute(text("PRAGMA integrity_check")).scalars().all()
        except DBAPIError as error:
            if (known := self._for_people(error)) is None:
                raise
            return [known.message]
        return [str(line) for line in said if line != "ok"]

    def orphans(self, connection: Connection) -> list[str]:
        try:
            found = connection.execute(text("PRAGMA foreign_key_check")).all()
        except DBAPIError as error:
            if not is_malformed(error):
                raise
            return []
        return [f"a row of {row[0]} belongs to none of {row[2]}" for row in found]

    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:
        version = None
        with suppress(LibraryDamaged):
            version = self._schema_version()
        if version is not None and version > SCHEMA_VERSION:
            raise newer(self.name, version)
        engine = _engine(self._file, to_rescue=True)
        try:
            with self._errors_for_people(), engine.connect() as source:
                return self._replaced_by_copy(source, copy)
        except LibraryDamaged as error:
            raise LibraryDamaged(
                error.message, "Move the library's folder away and index again; your photos are not affected"
            ) from error
        finally:
            engine.dispose()

    def _replaced_by_copy(self, source: Connection, copy: Callable[[Connection, Connection], int]) -> Path:
        try:
            new = _empty_file(self.folder)
            try:
                engine = _engine(new, to_rescue=True)
                with self._errors_for_people(), engine.execution_options(begin="IMMEDIATE").begin() as target:
                    if not copy(source, target):
                        raise self._damaged("no row in it can be read")
                engine.dispose()
                kept = _put_in_place(new, self._file)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise LibraryError(
                f"{self.name} cannot be repaired: {error.strerror}", "Make room, and try again"
            ) from error
        self._engine.dispose()  # connections to the file of before
        return kept

    def rebuild_indexes(self, connection: Connection) -> None:
        connection.execute(text("REINDEX"))

    def _begin_writing(self) -> AbstractContextManager[Connection]:
        return self._engine.execution_options(begin="IMMEDIATE").begin()

    def _for_people(self, error: DBAPIError) -> LibraryError | None:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind of error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return LibraryBusy(f"{self._file} is locked by another process", "Try again when it is done")
        if code == sqlite3.SQLITE_FULL:
            return LibraryError(
                f"the disk is full: {self.name}", "Make room and run the command again; nothing that was stored is lost"
            )
        if code == sqlite3.SQLITE_READONLY and len(self.damage):
            return self._damaged("a part of it is missing")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            return LibraryError(
                f"{self._file} cannot be used: {error.orig}", "Check the folder's permissions and its disk"
            )
        if is_malformed(error) or str(error.orig).startswith(
            ("no such table", "no such column", "CHECK constraint failed")
        ):
            return self._damaged(error.orig)
        return None


def cannot_make(folder: Path, error: OSError) -> LibraryError:
    return LibraryError(f"cannot make the library {folder}: {error.strerror}", "Choose another with --library FOLDER")


def _empty_file(folder: Path) -> Path:
    """Make an empty file in a folder, under a name that nobody has. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f"{DATABASE_NAME}.", dir=folder)
    os.close(descriptor)
    return Path(name)


def _put_in_place(new: Path, damaged: Path) -> Path:
    """Give the new file the name of the damaged one, and return the name that this one has now. Raises OSError."""
    kept = damaged.with_name(f"{damaged.name}.damaged")
    shutil.copymode(damaged, new)
    kept.unlink(missing_ok=True)
    try:
        os.link(damaged, kept)
    except OSError:  # not on every drive
        shutil.copyfile(damaged, kept)
    # SQLite would take the journal of the one for that of the other.
    damaged.with_name(f"{damaged.name}-journal").unlink(missing_ok=True)
    new.replace(damaged)
    return kept


def _json(value: Any) -> Any:
    """Read JSON, or return as it is what rot has made none of it: the row's checksum tells."""
    try:
        return json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return value


def _engine(database: Path, *, on_cut: Callable[[], object] = lambda: None, to_rescue: bool = False) -> Engine:
    """Return what makes connections; `to_rescue` ones that fill a new file in any order.

    `on_cut` is called where the file is shorter than it says; it is only read then.
    """

    beside = [database.with_name(f"{database.name}-{what}") for what in ("journal", "wal", "shm")]

    def connect() -> sqlite3.Connection:
        for file in beside:
            if os.path.lexists(file) and (file.is_symlink() or not file.is_file()):  # it would wait for a pipe
                raise LibraryDamaged(f"{file} is no regular file", "Move it away")
        connection = sqlite3.connect(
            f"{database.as_uri()}?mode=rw",  # a URI, because only there one can say: never create it
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        connection.text_factory = _text
        if not to_rescue:
            connection.execute("PRAGMA foreign_keys = ON")
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            # A file that is shorter than it says: this lets SQLite read what is left of it, and nobody is to write.
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA synchronous = FULL")
            on_cut()
        return connection

    engine = sqlalchemy.create_engine(
        "sqlite://", creator=connect, poolclass=sqlalchemy.QueuePool, json_deserializer=_json
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # sqlite3 would begin by itself, too late and deferred: a transaction that reads before it writes then fails
        # with "database is locked" without waiting for its timeout.
        kind = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine
