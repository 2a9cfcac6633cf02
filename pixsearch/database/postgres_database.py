"""A library in PostgreSQL, shared by many machines; each keeps the files derived from it in a folder of its own."""

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
"""A missing value, a failed check, an exception in a function: constraints that pixsearch has not made."""
_EXAMPLE = "For example: postgresql+psycopg://me@host/photos"
_LOCK = 7_416_832
"""The class of the advisory lock, an arbitrary number; the hash of the schema's name is its object."""
_WRITER_NAME = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = :lock"
)
_SIZE = text(
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


class PostgresDatabase(Database):
    """A database in PostgreSQL. Transactions are REPEATABLE READ: they see one moment, and never wait for each other.

    The writer holds an advisory lock through a connection of its own and writes only through that: if the connection is
    lost, for example by a restart of the server, the lock and the right to write are lost with it.
    """

    repair_hint = "Restore it, or index into a new one"
    objects = "SELECT tablename, 'table' FROM pg_tables WHERE schemaname = current_schema()"

    def __init__(self, url: str) -> None:
        """Prepare the database. Raises UsageError if the URL is not that of a PostgreSQL database, PixsearchError if
        the driver is missing."""
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
        """Do nothing: the database is created by `createdb`, with the permissions that its owner wants."""

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
                        f"the library {self.name} is being written by {holder}",
                        "Wait until it has finished, or stop it",
                    )
            self._writer = connection
            try:
                yield
            finally:
                self._writer = None
        finally:
            with suppress(DBAPIError):  # the connection may be lost, and the lock with it
                connection.rollback()
                # Unlock at once: the end of a session releases its locks only a moment later.
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
                connection.rollback()
            connection.close()

    def back_up(self) -> None:
        """Do nothing: PostgreSQL changes a schema in a transaction, and `pg_dump` makes copies."""

    def reclaim_space(self) -> None:
        """Do nothing: the server reclaims space on its own."""

    def size_bytes(self, connection: Connection) -> int:
        return int(connection.scalar(_SIZE) or 0)

    def problems(self, connection: Connection) -> list[str]:  # noqa: ARG002
        """Return nothing: PostgreSQL enforces foreign keys, and checks pages when it reads them."""
        return []

    def orphans(self, connection: Connection) -> list[str]:  # noqa: ARG002
        """Return nothing: see `problems`."""
        return []

    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:  # noqa: ARG002
        raise LibraryDamaged(f"the library {self.name} is damaged", self.repair_hint)

    def rebuild_indexes(self, connection: Connection) -> None:
        for table in METADATA.sorted_tables:
            connection.execute(text(f"REINDEX TABLE {table.name}"))

    @contextmanager
    def _begin_writing(self) -> Iterator[Connection]:
        assert self._writer is not None, "only the holder of the lock writes"
        with self._writer.begin():
            yield self._writer

    def _library_error(self, error: DBAPIError) -> LibraryError | None:
        state = getattr(error.orig, "sqlstate", None)
        message = " ".join(str(error.orig).split())
        if state is None or state.startswith(("08", "57P", "25P", "28", "3D")):  # not connected, ended, not authorised
            return LibraryError(
                f"the library {self.name} cannot be reached: {message}",
                "Check the server, then try again; stored data is not lost",
            )
        if state == "57014":
            return LibraryError(
                f"the library {self.name} did not answer within the server's time limit: {message}",
                "Raise the user's statement_timeout",
            )
        if state.startswith("53"):
            return LibraryError(f"the library {self.name} is out of resources: {message}", "Free some, then try again")
        if state in ("25006", "42501"):
            return LibraryError(
                f"access to the library {self.name} was denied: {message}", "Check the database user's permissions"
            )
        if state.startswith(_CONSTRAINT_STATES):
            return LibraryError(
                f"the library {self.name} rejects what is written: {message}",
                "Drop the triggers and constraints that were added to its tables",
            )
        if state.startswith(("40", "55")):
            return LibraryBusy(f"the library {self.name} is in use: {message}", "Try again")
        if state.startswith(("XX", "42")):  # 42: a table or column is missing
            return LibraryDamaged(f"the library {self.name} is damaged: {message}", self.repair_hint)
        return None


def _parsed(url: str) -> URL:
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):  # the URL is not shown: any part may be from a password
        raise UsageError("the URL of the library is not valid", f"{_EXAMPLE}; escape a password in it (%40 for @)")
    if parsed.get_backend_name() != "postgresql":
        raise UsageError(
            f"a library cannot be in {parsed.get_backend_name()}", f"Use a folder or PostgreSQL. {_EXAMPLE}"
        )
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
    sqlalchemy.event.listen(engine, "connect", _check_session, insert=True)  # before SQLAlchemy's own queries
    # Many rows per INSERT, which SQLAlchemy does by default only to get their ids.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    return engine


def _check_session(connection: Any, _record: object) -> None:
    """Check a new connection. Raises LibraryError if the database cannot store all text or has no schema for tables."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise LibraryError(
            f"the database {connection.info.dbname} has the encoding {encoding}", "Create one with: createdb -E UTF8"
        )
    with connection.cursor() as cursor:
        [schema] = cursor.execute("SELECT current_schema()").fetchone()
        [path] = cursor.execute("SHOW search_path").fetchone()
        cursor.execute("SET extra_float_digits = 1")  # else a number may be read differently than it was stored
    connection.commit()
    if schema is None:
        raise LibraryError(
            f"the database {connection.info.dbname} has none of the schemas in the search_path {path}",
            f"Create the first of them with CREATE SCHEMA, or change the path with ALTER ROLE {connection.info.user}",
        )
