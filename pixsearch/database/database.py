"""A library's database: its transactions, checks, migrations and lock.

What differs between SQLite and PostgreSQL is in `sqlite_database` and `postgres_database` only.
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
"""The most values in one statement; SQLite accepts 32,766, PostgreSQL 65,535."""

UPDATED_PER_MINUTE = 20_000
"""The number of photos that an update processes per minute, at least."""

_INDEXES = {index.name for table in METADATA.sorted_tables for index in table.indexes}
_OUR_TABLES = {"alembic_version", "features", "grids"}

Value = TypeVar("Value")


class Database(ABC):
    """The database of one library. Threads may read at the same time."""

    repair_hint: ClassVar[str]
    """The hint of errors about damaged tables."""
    objects: ClassVar[str]
    """The statement that lists the name and kind of each table and of other objects, such as views and triggers."""

    def __init__(self, name: str, folder: Path, holder: str, engine: Engine) -> None:
        """Prepare the database; the first transaction connects to it.

        Args:
            name: the library's name in messages.
            folder: the folder on this machine for files derived from the database.
            holder: the name of that folder, among all that are derived from this database.
        """
        self.name = name
        self.folder = folder
        self.holder = holder
        self.damage = Damage()
        """The damage that readers have met."""
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Begin a read transaction, which sees the database as of one moment. Raises LibraryError."""
        with self._library_errors(), self._engine.connect() as connection:
            try:
                yield connection
            finally:
                with suppress(DBAPIError):
                    connection.rollback()  # SQLite refuses to commit after it has met an unreadable page

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Begin a write transaction, which is committed at the end of the block. Only for the holder of the lock.

        Raises LibraryError, and then writes nothing.
        """
        with self._library_errors(), self._begin_writing() as connection:
            yield connection

    def check(self) -> None:
        """Check that the tables are those of this version.

        Raises LibraryNotFound for a database without tables, LibraryDamaged for tables that are not a library's.
        """
        version = self._schema_version()
        if version is None:
            raise library_not_found(self.name)
        if version != SCHEMA_VERSION:
            raise newer(self.name, version)

    def is_older(self) -> bool:
        """Return whether the tables are from an older pixsearch."""
        version = self._schema_version()
        return version is not None and version < SCHEMA_VERSION

    def migrate(self, report: Callable[[str], None], derive: Callable[[Connection], None]) -> None:
        """Create the tables, or update those of an older pixsearch, in one transaction.

        An update is announced by `report`; after it `derive` rebuilds what is derived from the rows. Only for the
        holder of the lock. Raises LibraryDamaged if the tables are not those of their version.
        """
        # Not at the top: Alembic takes 0.2 s, which no query should pay.
        from alembic.util import CommandError

        from pixsearch.database.migrations import upgrade

        was_older = self.is_older()
        if was_older:
            with self.reading() as connection:
                photos = connection.scalar(text("SELECT count(*) FROM photos")) or 0
            minutes = max(1, round(photos / UPDATED_PER_MINUTE))
            report(f"Updating {self.name} for this version: {plural(photos, 'photo')}, up to {minutes} min")
            self.back_up()
        try:
            with self.writing() as connection:
                upgrade(connection)
                if was_older:
                    derive(connection)
        except (DBAPIError, CommandError) as error:
            raise self._damaged(f"its tables do not match its version ({error})") from error
        if was_older:
            self.reclaim_space()

    @abstractmethod
    def is_there(self) -> bool:
        """Return whether there is anything that could be a library."""

    @abstractmethod
    def make(self) -> None:
        """Create the empty database. Only for the holder of the lock. Raises LibraryError."""

    @abstractmethod
    def only_writer(self) -> AbstractContextManager[None]:
        """Hold the library's lock. Raises LibraryBusy at once if another process holds it, or LibraryError."""

    @abstractmethod
    def back_up(self) -> None:
        """Copy what an update of the schema could damage. Raises LibraryError."""

    @abstractmethod
    def reclaim_space(self) -> None:
        """Return the disk space that an update has freed, if possible."""

    @abstractmethod
    def size_bytes(self, connection: Connection) -> int:
        """Return the disk space of the tables."""

    @abstractmethod
    def problems(self, connection: Connection) -> list[str]:
        """Return the problems that the database finds in itself."""

    @abstractmethod
    def orphans(self, connection: Connection) -> list[str]:
        """Return a message for each row whose parent is missing."""

    @abstractmethod
    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:
        """Replace this database by a new one, which `copy` fills from it. Only for the holder of the lock.

        `copy` returns how many rows it could read.

        Returns where the old database is kept. Raises LibraryDamaged if nothing can be read.
        """

    @abstractmethod
    def rebuild_indexes(self, connection: Connection) -> None:
        """Rebuild the database's own indexes from its rows."""

    @abstractmethod
    def _begin_writing(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _library_error(self, error: DBAPIError) -> LibraryError | None:
        """Return the error to show for an error of the database, or None if that is a bug."""

    def _damaged(self, what: object) -> LibraryDamaged:
        return LibraryDamaged(f"{self.name} is damaged: {what}", self.repair_hint)

    @contextmanager
    def _library_errors(self) -> Iterator[None]:
        """Turn errors of the database into library errors."""
        try:
            yield
        except DBAPIError as error:
            if (known := self._library_error(error)) is None:
                raise
            raise known from error
        except UnicodeDecodeError as error:  # a message of the driver that quotes damaged names
            raise self._damaged("its tables have names that are not text") from error

    def _schema_version(self) -> str | None:
        """Return the Alembic revision, or None for a database without tables.

        Raises LibraryDamaged if it is another program's database, if tables are missing, or if it has objects that act
        on their own and are not pixsearch's: triggers, views, indexes.
        """
        with self.reading() as connection:
            kinds = {str(name): kind for name, kind in connection.execute(text(self.objects))}
            if "alembic_version" not in kinds and len(self.damage):  # connecting has met it
                raise self._damaged("the descriptions of its tables are missing")
            if not kinds:
                return None
            if _OUR_TABLES.isdisjoint(kinds):
                raise LibraryDamaged(f"{self.name} is not a pixsearch library", "Choose another one with --library")
            for name, kind in kinds.items():
                if kind != "table" and name not in _INDEXES:
                    raise self._damaged(f"it has the {kind} {name}, which is not part of a library")
            versions = list[str]()
            if "alembic_version" in kinds:
                versions += connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
            if len(versions) != 1 or not str(versions[0]).isdecimal():
                raise self._damaged("the version of its tables is missing")
            if versions[0] == SCHEMA_VERSION and (missing := METADATA.tables.keys() - kinds.keys()):
                raise self._damaged(f"it has no table {min(missing)}")
            return str(versions[0])


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield the values in parts that are small enough for one statement."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def in_chunks(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """Yield the items in chunks of this size."""
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
