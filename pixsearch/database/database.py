"""The database of a library: transactions, checks, migrations and locking.

Code specific to SQLite or PostgreSQL is in `sqlite_database` and `postgres_database`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import ClassVar, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pixsearch.database.rows import Damage
from pixsearch.database.schema import METADATA, SCHEMA_VERSION
from pixsearch.errors import LibraryDamaged, LibraryError, LibraryNotFound
from pixsearch.printable import plural

VALUES_AT_ONCE = 10_000
"""The maximum number of values in a statement. SQLite accepts 32,766 and PostgreSQL 65,535."""

UPDATED_PER_MINUTE = 20_000
"""A conservative estimate of the number of photos that a migration processes per minute."""

_INDEXES = {index.name for table in METADATA.sorted_tables for index in table.indexes}
_OUR_TABLES = {"alembic_version", "features", "grids"}

Value = TypeVar("Value")


class Database(ABC):
    """The database of a library. Multiple threads can read at the same time."""

    repair_hint: ClassVar[str]
    """The hint for errors about damaged tables."""
    objects: ClassVar[str]
    """An SQL statement that returns the name and type of each database object, such as tables, views and triggers."""

    def __init__(self, name: str, folder: Path, holder: str, engine: Engine) -> None:
        """Prepare the database. The first transaction connects to it.

        Args:
            name: the name of the library in messages.
            folder: the local folder for files derived from the database.
            holder: a name for `folder` that is unique among all machines that use the database.
        """
        self.name = name
        self.folder = folder
        self.holder = holder
        self.damage = Damage()
        """The damage that has been found while reading."""
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a read transaction, which sees a consistent snapshot of the database. Raises LibraryError."""
        with self._library_errors(), self._engine.connect() as connection:
            try:
                yield connection
            finally:
                with suppress(DBAPIError):
                    connection.rollback()  # SQLite refuses to commit after reading a damaged page

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a write transaction, which is committed at the end of the block. The caller must hold the lock.

        Nothing is written if LibraryError is raised.
        """
        with self._library_errors(), self._begin_writing() as connection:
            yield connection

    def check(self) -> None:
        """Check that the tables have the current schema version.

        Raises LibraryNotFound if the database has no tables, or LibraryDamaged if it is not a valid library.
        """
        version = self._schema_version()
        if version is None:
            raise library_not_found(self.name)
        if version != SCHEMA_VERSION:
            raise newer(self.name, version)

    def is_older(self) -> bool:
        """Return whether the tables were created by an older version of pixsearch."""
        version = self._schema_version()
        return version is not None and version < SCHEMA_VERSION

    def migrate(self, report: Callable[[str], None], derive: Callable[[Connection], None]) -> None:
        """Create the tables, or migrate those from an older version of pixsearch, in a single transaction.

        The caller must hold the lock. Raises LibraryDamaged if the tables do not match their schema version.

        Args:
            report: called with a message before a migration.
            derive: called after a migration to rebuild data that is derived from the rows.
        """
        # Not imported at the top: Alembic would add 0.2 s to every query.
        from alembic.util import CommandError

        from pixsearch.database.migrations import upgrade

        was_older = self.is_older()
        if was_older:
            with self.reading() as connection:
                photos = connection.scalar(text("SELECT count(*) FROM photos")) or 0
            minutes = max(1, round(photos / UPDATED_PER_MINUTE))
            report(
                f"Updating {self.name} for this version of pixsearch: {plural(photos, 'photo')}, up to {minutes} min"
            )
            self.back_up()
        try:
            with self.writing() as connection:
                upgrade(connection)
                if was_older:
                    derive(connection)
        except (DBAPIError, CommandError) as error:
            raise self._damaged(f"the tables do not match the schema version ({error})") from error
        if was_older:
            self.reclaim_space()

    @abstractmethod
    def is_there(self) -> bool:
        """Return whether the database exists. Its content is not checked."""

    @abstractmethod
    def make(self) -> None:
        """Create an empty database. The caller must hold the lock. Raises LibraryError."""

    @abstractmethod
    def only_writer(self) -> AbstractContextManager[None]:
        """Hold the library's lock. Raises LibraryBusy immediately if another process holds it, or LibraryError."""

    @abstractmethod
    def back_up(self) -> None:
        """Back up the data that a migration could damage. Raises LibraryError."""

    @abstractmethod
    def reclaim_space(self) -> None:
        """Release disk space that a migration has freed, if possible."""

    @abstractmethod
    def size_bytes(self, connection: Connection) -> int:
        """Return the disk space used by the tables."""

    @abstractmethod
    def problems(self, connection: Connection) -> list[str]:
        """Return the problems found by the database's own integrity check."""

    @abstractmethod
    def orphans(self, connection: Connection) -> list[str]:
        """Return a message for each row that refers to a missing parent row."""

    @abstractmethod
    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:
        """Replace a damaged database with a new one that contains the readable rows. The caller must hold the lock.

        Returns the path of the damaged database, which is kept. Raises LibraryDamaged if no rows can be read.

        Args:
            copy: copies rows from the first connection to the second and returns the number of readable rows.
        """

    @abstractmethod
    def rebuild_indexes(self, connection: Connection) -> None:
        """Rebuild the database's own indexes."""

    @abstractmethod
    def _begin_writing(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _library_error(self, error: DBAPIError) -> LibraryError | None:
        """Convert a database error to a LibraryError, or return None if the error indicates a bug."""

    def _damaged(self, what: object) -> LibraryDamaged:
        return LibraryDamaged(f"{self.name} is damaged: {what}", self.repair_hint)

    @contextmanager
    def _library_errors(self) -> Iterator[None]:
        """Convert database errors raised in the block to LibraryError."""
        try:
            yield
        except DBAPIError as error:
            if (known := self._library_error(error)) is None:
                raise
            raise known from error
        except UnicodeDecodeError as error:  # an error message from the driver contains a damaged name
            raise self._damaged("some names in the database are not valid text") from error

    def _schema_version(self) -> str | None:
        """Return the Alembic revision, or None for a database without tables.

        Raises LibraryDamaged if the database belongs to a different program, if tables are missing, or if there are
        objects that pixsearch did not create and that could affect queries, such as triggers, views and indexes.
        """
        with self.reading() as connection:
            kinds = {str(name): kind for name, kind in connection.execute(text(self.objects))}
            if "alembic_version" not in kinds and len(self.damage):  # found while connecting
                raise self._damaged("the table definitions are missing")
            if not kinds:
                return None
            if _OUR_TABLES.isdisjoint(kinds):
                raise LibraryDamaged(
                    f"{self.name} is not a pixsearch library", "Choose a different library with --library"
                )
            for name, kind in kinds.items():
                if kind != "table" and name not in _INDEXES:
                    raise self._damaged(f"it contains the {kind} {name}, which pixsearch did not create")
            versions = list[str]()
            if "alembic_version" in kinds:
                versions += connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
            if len(versions) != 1 or not str(versions[0]).isdecimal():
                raise self._damaged("the schema version is missing")
            if versions[0] == SCHEMA_VERSION and (missing := METADATA.tables.keys() - kinds.keys()):
                raise self._damaged(f"the table {min(missing)} is missing")
            return str(versions[0])


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield the values in batches that are small enough for a single statement."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def in_chunks(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Yield the items in lists of up to `size` items."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def newer(name: str, version: str) -> LibraryDamaged:
    return LibraryDamaged(
        f"the library {name} was written by a newer pixsearch (schema {version})",
        "Upgrade pixsearch; nothing was changed",
    )


def library_not_found(name: str) -> LibraryNotFound:
    return LibraryNotFound(f"there is no library in {name} yet", "Create one with: pixsearch index FOLDER")
