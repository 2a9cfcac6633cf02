"""A library in a PostgreSQL database, for many machines; what is derived from it lies in a folder of each of them."""

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
_OF_RULES = ("23502", "23514", "P0")
"""No value where one has to be, a condition, an exception of a function: nothing that is written here meets them."""
_AS_IN = "As in: postgresql+psycopg://me@host/photos"
_LOCK = 7_416_832
"""Any number that no other program's advisory locks have, beside the schema's name."""
_WHO_WRITES = text(
    "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = :lock"
)
_SIZE = text(
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


class PostgresDatabase(Database):
    """Transactions are REPEATABLE READ, so that all that one reads is of one moment; readers and writer never wait.

    The writer holds an advisory lock by a connection of its own and writes through that one alone: when it is lost, a
    restart of the server included, the lock and the right to write are lost together.
    """

    mending = "Restore it, or index into a new one"
    objects = "SELECT tablename, 'table' FROM pg_tables WHERE schemaname = current_schema()"

    def __init__(self, url: str) -> None:
        """Raises UsageError for what is no URL of a PostgreSQL database; PixsearchError without its driver."""
        parsed = _parsed(url)
        name = without_passwords(parsed.render_as_string(hide_password=True))
        plain = parsed.set(password=None).render_as_string()
        folder = data_folder() / "vectors" / hashlib.sha256(plain.encode()).hexdigest()[:16]
        super().__init__(name, folder, f"{socket.gethostname()}:{folder}", _engine(parsed))
        self._writer: Connection | None = None

    def is_there(self) -> bool:
        with self.reading():  # or it says why not
            return True

    def make(self) -> None:
        """The database itself is made by `createdb`, with the rights that its owner wants."""

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        with self._errors_for_people():
            connection = self._engine.connect()
        try:
            with self._errors_for_people(), connection.begin():
                lock = text("SELECT pg_try_advisory_lock(:lock, hashtext(current_schema()))")
                if not connection.scalar(lock, {"lock": _LOCK}):
                    holder = connection.scalars(_WHO_WRITES, {"lock": _LOCK}).first() or "another process"
                    raise LibraryBusy(
                        f"the library {self.name} is being written by {holder}", "Wait until it is done, or stop it"
                    )
            self._writer = connection
            try:
                yield
            finally:
                self._writer = None
        finally:
            with suppress(DBAPIError):  # it may be lost, and the lock with it
                connection.rollback()
                # At once: a session that ends lets go of its locks a moment later.
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
                connection.rollback()
            connection.close()

    def back_up(self) -> None:
        """PostgreSQL changes a schema in a transaction; copies are `pg_dump`'s."""

    def give_back_room(self) -> None:
        """The server does that by itself."""

    def size_bytes(self, connection: Connection) -> int:
        return int(connection.scalar(_SIZE) or 0)

    def problems(self, connection: Connection) -> list[str]:  # noqa: ARG002
        """None: PostgreSQL lets no row in that belongs nowhere, and checks its pages when it reads them."""
        return []

    def orphans(self, connection: Connection) -> list[str]:  # noqa: ARG002
        """None: see `problems`."""
        return []

    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:  # noqa: ARG002
        raise LibraryDamaged(f"the library {self.name} is damaged", self.mending)

    def rebuild_indexes(self, connection: Connection) -> None:
        for table in METADATA.sorted_tables:
            connection.execute(text(f"REINDEX TABLE {table.name}"))

    @contextmanager
    def _begin_writing(self) -> Iterator[Connection]:
        assert self._writer is not None, "only the holder of the lock writes"
        with self._writer.begin():
            yield self._writer

    def _for_people(self, error: DBAPIError) -> LibraryError | None:
        state = getattr(error.orig, "sqlstate", None)
        said = " ".join(str(error.orig).split())
        if state is None or state.startswith(("08", "57P", "25P", "28", "3D")):  # no connection, ended, not let in
            return LibraryError(
                f"the library {self.name} cannot be reached: {said}",
                "Check the server, then try again; nothing that was stored is lost",
            )
        if state == "57014":
            return LibraryError(
                f"the library {self.name} did not answer in the time that the server allows: {said}",
                "Raise the user's statement_timeout",
            )
        if state.startswith("53"):
            return LibraryError(f"the library {self.name} has no room: {said}", "Make room, and run it again")
        if state in ("25006", "42501"):
            return LibraryError(f"the library {self.name} may not be used so: {said}", "Check the user's permissions")
        if state.startswith(_OF_RULES):
            return LibraryError(
                f"the library {self.name} does not take what is written: {said}",
                "Drop the triggers and constraints that were added to its tables",
            )
        if state.startswith(("40", "55")):
            return LibraryBusy(f"the library {self.name} is in use: {said}", "Try again")
        if state.startswith(("XX", "42")):  # 42: a table or column is not there
            return LibraryDamaged(f"the library {self.name} is damaged: {said}", self.mending)
        return None


def _parsed(url: str) -> URL:
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):  # nothing of it is shown: any part may be of a password
        raise UsageError(
            "the URL of the library is not valid", f"{_AS_IN}; a password in it is escaped, as in %40 for @"
        )
    if parsed.get_backend_name() != "postgresql":
        raise UsageError(f"a library cannot be in {parsed.get_backend_name()}", f"A folder, or PostgreSQL. {_AS_IN}")
    if parsed.drivername not in ("postgresql", _DRIVER):
        raise UsageError(f"{parsed.drivername} is not a driver that pixsearch uses", f"Write {_DRIVER}, or postgresql")
    return parsed.set(drivername=_DRIVER)


def _engine(url: URL) -> Engine:
    require("a library in PostgreSQL", "postgresql", "psycopg")
    engine = sqlalchemy.create_engine(
        url,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,  # the server may have been restarted since
        connect_args={"application_name": f"pixsearch on {socket.gethostname()}, process {os.getpid()}"},
    )
    sqlalchemy.event.listen(engine, "connect", _check_session, insert=True)  # before SQLAlchemy asks what it is
    # Many rows an INSERT, which SQLAlchemy does by itself only where it wants their ids.
    engine.dialect.use_insertmanyvalues_wo_returning = True
    return engine


def _check_session(connection: Any, _record: object) -> None:
    """Raises LibraryError for a database that cannot keep every text, or in which there is no schema for tables."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise LibraryError(
            f"the database {connection.info.dbname} has the encoding {encoding}", "Make one with: createdb -E UTF8"
        )
    with connection.cursor() as cursor:
        [schema] = cursor.execute("SELECT current_schema()").fetchone()
        [path] = cursor.execute("SHOW search_path").fetchone()
        cursor.execute("SET extra_float_digits = 1")  # else a number may come back as another than was stored
    connection.commit()
    if schema is None:
        raise LibraryError(
            f"the database {connection.info.dbname} has none of the schemas in the search_path {path}",
            f"Make the first of them with: CREATE SCHEMA, or change the path with: ALTER ROLE {connection.info.user}",
        )
