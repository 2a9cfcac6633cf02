"""library.db: how it is opened, checked and brought up to date, and what a transaction is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DatabaseError

from pixsearch.errors import LibraryBusy, LibraryDamaged, LibraryError, LibraryNotFound
from pixsearch.library.schema import SCHEMA_VERSION
from pixsearch.settings import DATABASE_NAME

BUSY_TIMEOUT_S = 30.0
VALUES_AT_ONCE = 10_000
"""In one statement; SQLite takes 32,766."""

Value = TypeVar("Value")


class Database:
    """Transactions on library.db.

    It keeps SQLite's rollback journal and short transactions. The write-ahead log would let readers go on during a
    commit, but it needs shared memory (no network drives), cannot be read in a folder without write permission, and
    can corrupt the database in almost every SQLite before 3.51.3 (the "WAL-reset" bug): not worth a second way to run.
    """

    def __init__(self, folder: Path) -> None:
        """Connects at the first transaction, and never creates the file."""
        self._folder = folder
        self._engine = _engine(folder / DATABASE_NAME)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: everything read in it is of one moment. Raises LibraryError."""
        with _errors_for_people(self._folder), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction, committed at its end. Raises LibraryError, then with nothing of it written."""
        with _errors_for_people(self._folder), self._engine.execution_options(begin="IMMEDIATE").begin() as connection:
            yield connection

    def check(self) -> None:
        """Raises LibraryNotFound for a database without any table, LibraryDamaged for one that is not ours."""
        with self.reading() as connection:
            version = _schema_version(connection, self._folder)
        if version is None:
            raise library_not_found(self._folder)
        if version != SCHEMA_VERSION:
            raise LibraryDamaged(
                f"{self._folder / DATABASE_NAME} was written by a newer pixsearch (schema {version})",
                "Update pixsearch; nothing was changed",
            )

    def is_older(self) -> bool:
        """Whether the tables are those of an older pixsearch."""
        with self.reading() as connection:
            version = _schema_version(connection, self._folder)
        return version is not None and version < SCHEMA_VERSION

    def migrate(self) -> None:
        """Create the tables, or bring those of an older pixsearch up to date, in one transaction.

        Only for the holder of the lock. An older library is first copied to library.db.before-VERSION beside it.
        """
        # Not at the top: Alembic takes 0.2 s, which no query should pay.
        from pixsearch.library.migrations import upgrade

        if self.is_older():
            self._back_up()
        with self.writing() as connection:
            upgrade(connection)

    def _back_up(self) -> None:
        """Copy the database as SQLite does it, which a copy of the file is not while it may be in use."""
        backup = self._folder / f"{DATABASE_NAME}.before-{SCHEMA_VERSION}"
        partial = backup.with_name(f"{backup.name}.tmp")
        try:
            partial.unlink(missing_ok=True)
            with closing(self._engine.raw_connection()) as source, closing(sqlite3.connect(partial)) as target:
                assert isinstance(source.driver_connection, sqlite3.Connection)
                source.driver_connection.backup(target)
            partial.replace(backup)
        except (sqlite3.Error, OSError) as error:
            raise LibraryError(
                f"{self._folder} is of an older pixsearch and could not be copied before its update: {error}",
                "Make room, or see to its permissions; nothing was changed",
            ) from error


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """The values in as many parts as it takes to hand each to one statement."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def in_chunks(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """The items as they come, this many at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def library_not_found(folder: Path) -> LibraryNotFound:
    return LibraryNotFound(f"there is no library in {folder} yet", "Make one with: pixsearch index FOLDER")


@contextmanager
def _errors_for_people(folder: Path) -> Iterator[None]:
    """Turn what SQLite says into a LibraryError that says what to do."""
    database = folder / DATABASE_NAME
    try:
        yield
    except DatabaseError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind of error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LibraryBusy(f"{database} is locked by another process", "Try again when it is done") from error
        if code == sqlite3.SQLITE_FULL:
            raise LibraryError(
                f"the disk is full: {folder}", "Make room and run the command again; nothing that was stored is lost"
            ) from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            raise LibraryError(
                f"{database} cannot be used: {error.orig}", "Check the folder's permissions and its disk"
            ) from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise LibraryDamaged(
                f"{database} is damaged: {error.orig}",
                "Move the folder away and index again; your photos are not affected",
            ) from error
        raise


def _engine(database: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{database.as_uri()}?mode=rw",  # a URI, because only there one can say: never create it
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = sqlalchemy.create_engine("sqlite://", creator=connect, poolclass=sqlalchemy.QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # sqlite3 would begin by itself, too late and deferred: a transaction that reads before it writes then fails
        # with "database is locked" without waiting for its timeout.
        kind = connection.get_execution_options().get("begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def _schema_version(connection: Connection, folder: Path) -> str | None:
    """The Alembic revision; None for a database without tables. Raises LibraryDamaged for another program's."""
    tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise LibraryDamaged(
            f"{folder / DATABASE_NAME} is no pixsearch library", "Choose another folder with --library FOLDER"
        )
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())
