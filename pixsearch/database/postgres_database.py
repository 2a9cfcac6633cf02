"""A library in PostgreSQL, which several machines can share. Each machine stores derived files in a local folder."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from pixsearch.database.database import Database
from pixsearch.database.schema import METADATA
from pixsearch.errors import LibraryBusy, LibraryDamaged, LibraryError, UsageError
from pixsearch.extras import require
from pixsearch.printable import without_passwords
from pixsearch.settings import data_folder

_DRIVER = "postgresql+psycopg"
_CONSTRAINT_STATES = ("23502", "23514", "P0")
"""The SQLSTATE prefixes for missing values, failed checks and exceptions raised by functions.

These errors are caused by constraints or triggers that pixsearch did not create."""
_EXAMPLE = "For example: postgresql+psycopg://me@host/photos"
_LOCK = 7_416_832
"""An arbitrary number, used as the first key of the advisory lock. The second key is the hash of the schema name."""
_WRITER_NAME = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = :lock"
)
_SIZE = text(
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


class PostgresDatabase(Database):
    """A PostgreSQL database. Transactions use REPEATABLE READ: they see a snapshot, and readers never wait for writers.

    The writer holds an advisory lock on a separate connection and writes only through that connection. If the
    connection is lost, for example because the server restarts, so are the lock and the ability to write.
    """

    repair_hint = "Restore the database from a backup, or index the photos into a new library"
    objects = "SELECT tablename, 'table' FROM pg_tables WHERE schemaname = current_schema()"

    def __init__(self, url: str) -> None:
        """Prepare the database.

        Raises UsageError if the URL is not a PostgreSQL URL, or PixsearchError if the driver is not installed.
        """
        parsed = _parsed(url)
        name = without_passwords(parsed.render_as_string(hide_password=True))
        plain = parsed.set(password=None).render_as_string()
        folder = data_folder() / "vectors" / hashlib.sha256(plain.encode()).hexdigest()[:16]
        super().__init__(name, folder, f"{socket.gethostname()}:{folder}", _engine(parsed))
        self._writer: Connection | None = None

    def is_there(self) -> bool:
        with self.reading():  # raises an error if the server cannot be reached
            return True

    def make(self) -> None:
        """Do nothing. The owner creates the database with `createdb` and sets its permissions."""

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        with self._library_errors():
            connection = self._engine.connect()
        try:
            with self._library_errors(), connection.begin():
                lock = text("SELECT pg_try_advisory_lock(:lock, hashtext(current_schema()))")
                if not connection.scalar(lock, {"lock": _LOCK}):
                    holder = connection.scalars(_WRITER_NAME, {"lock": _LOCK}).first() or "another process"
                    raise LibraryBusy(
                        f"the library {self.name} is locked by {holder}",
                        "Wait for that process to finish, or stop it",
                    )
            self._writer = connection
            try:
                yield
            finally:
                self._writer = None
        finally:
            with suppress(DBAPIError):  # if the connection is lost, so is the lock
                connection.rollback()
                # Unlock explicitly: when a session ends, its locks are released with a slight delay.
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
                connection.rollback()
            connection.close()

    def back_up(self) -> None:
        """Do nothing. Schema changes in PostgreSQL are transactional, and `pg_dump` can create backups."""

    def reclaim_space(self) -> None:
        """Do nothing. The server reclaims space automatically."""

    def size_bytes(self, connection: Connection) -> int:
        return int(connection.scalar(_SIZE) or 0)

    def problems(self, connection: Connection) -> list[str]:  # noqa: ARG002
        """Return an empty list. PostgreSQL enforces foreign keys, and checks pages when it reads them."""
        return []

    def orphans(self, connection: Connection) -> list[str]:  # noqa: ARG002
        """Return an empty list. See `problems`."""
        return []

    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:  # noqa: ARG002
        raise LibraryDamaged(f"the library {self.name} is damaged", self.repair_hint)

    def rebuild_indexes(self, connection: Connection) -> None:
        for table in METADATA.sorted_tables:
            connection.execute(text(f"REINDEX TABLE {table.name}"))

    @contextmanager
    def _begin_writing(self) -> Iterator[Connection]:
        assert self._writer is not None, "writing requires the lock"
        with self._writer.begin():
            yield self._writer

    def _library_error(self, error: DBAPIError) -> LibraryError | None:
        state = getattr(error.orig, "sqlstate", None)
        message = " ".join(str(error.orig).split())
        if state is None or state.startswith(("08", "57P", "25P", "28", "3D")):  # no connection, not authorised
            return LibraryError(
                f"the library {self.name} cannot be reached: {message}",
                "Check the server, then try again; stored data is not lost",
            )
        if state == "57014":
            return LibraryError(
                f"a query to the library {self.name} exceeded the server's time limit: {message}",
                "Increase statement_timeout for the database user",
            )
        if state.startswith("53"):
            return LibraryError(
                f"the database server of the library {self.name} is out of resources: {message}",
                "Free some disk space, memory or connections on the server, then try again",
            )
        if state in ("25006", "42501"):
            return LibraryError(
                f"access to the library {self.name} was denied: {message}", "Check the database user's permissions"
            )
        if state.startswith(_CONSTRAINT_STATES):
            return LibraryError(
                f"the database of the library {self.name} rejected a change: {message}",
                "Drop any triggers and constraints that were added to the library's tables",
            )
        if state.startswith(("40", "55")):
            return LibraryBusy(f"the library {self.name} is in use: {message}", "Try again")
        if state.startswith(("XX", "42")):  # 42: a table or column does not exist
            return LibraryDamaged(f"the library {self.name} is damaged: {message}", self.repair_hint)
        return None


def _parsed(url: str) -> URL:
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):  # do not show the URL, any part of which may belong to a password
        raise UsageError(
            "the library URL is not valid", f"{_EXAMPLE}; escape special characters in the password (%40 for @)"
        )
    if parsed.get_backend_name() != "postgresql":
        raise UsageError(f"unsupported database {parsed.get_backend_name()}", f"Use a folder or PostgreSQL. {_EXAMPLE}")
    if parsed.drivername not in ("postgresql", _DRIVER):
        raise UsageError(f"unsupported driver {parsed.drivername}", f"Use {_DRIVER} or postgresql")
    return parsed.set(drivername=_DRIVER)


def _engine(url: URL) -> Engine:
    require("a library in PostgreSQL", "postgresql", "psycopg")
    engine = sqlalchemy.create_engine(
        url,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,  # the server may have been restarted
        connect_args={"application_name": f"pixsearch on {socket.gethostname()}, process {os.getpid()}"},
    )
    sqlalchemy.event.listen(engine, "connect", _check_session, insert=True)  # run before SQLAlchemy's own queries
    # Insert many rows per statement. By default, SQLAlchemy does so only if it needs the new ids.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    return engine


def _check_session(connection: Any, _record: object) -> None:
    """Check a new connection. Raises LibraryError if the database does not use UTF-8 or has no schema for tables."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise LibraryError(
            f"the database {connection.info.dbname} must have the encoding UTF8, not {encoding}",
            "Create a UTF8 database with: createdb -E UTF8",
        )
    with connection.cursor() as cursor:
        [schema] = cursor.execute("SELECT current_schema()").fetchone()
        [path] = cursor.execute("SHOW search_path").fetchone()
        cursor.execute("SET extra_float_digits = 1")  # return floating-point numbers exactly as stored
    connection.commit()
    if schema is None:
        raise LibraryError(
            f"the database {connection.info.dbname} has none of the schemas in the search_path {path}",
            f"Create one of them with CREATE SCHEMA, or change the search_path with ALTER ROLE {connection.info.user}",
        )
