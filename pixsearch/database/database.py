"""A library's database: what a transaction is, how it is checked and brought up to date, and how it is locked.

What differs between SQLite and PostgreSQL is in `sqlite_database` and `postgres_database`, and nowhere else.
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

VALUES_AT_ONCE = 10_000
"""In one statement; SQLite takes 32,766, PostgreSQL 65,535."""

UPDATED_A_MINUTE = 20_000
"""Photos that get their checksums, at the least."""

_INDEXES = {index.name for table in METADATA.sorted_tables for index in table.indexes}
_OF_OURS = {"alembic_version", "features", "grids"}

Value = TypeVar("Value")


class Database(ABC):
    """Transactions on the database of one library. Threads may read together."""

    mending: ClassVar[str]
    """What to do where tables cannot be used."""
    objects: ClassVar[str]
    """The statement that lists the name and kind of each table, and of whatever else acts in a table's place."""

    def __init__(self, name: str, folder: Path, holder: str, engine: Engine) -> None:
        """Connects at the first transaction.

        Args:
            name: of the library, for messages.
            folder: where what is derived from the database lies on this machine.
            holder: whose that is, among all that derive something from this database.
        """
        self.name = name
        self.folder = folder
        self.holder = holder
        self.damage = Damage()
        """What readers have met."""
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: everything read in it is of one moment. Raises LibraryError."""
        with self._errors_for_people(), self._engine.connect() as connection:
            try:
                yield connection
            finally:
                with suppress(DBAPIError):
                    connection.rollback()  # SQLite does not commit, once it has met a page that it cannot read

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction, committed at its end. Only for the holder of the lock.

        Raises LibraryError, then with nothing of it written.
        """
        with self._errors_for_people(), self._begin_writing() as connection:
            yield connection

    def check(self) -> None:
        """Raises LibraryNotFound for a database without any table, LibraryDamaged for one that is not ours."""
        version = self._schema_version()
        if version is None:
            raise library_not_found(self.name)
        if version != SCHEMA_VERSION:
            raise newer(self.name, version)

    def is_older(self) -> bool:
        """Whether the tables are those of an older pixsearch."""
        version = self._schema_version()
        return version is not None and version < SCHEMA_VERSION

    def migrate(self, tell: Callable[[str], None], derive: Callable[[Connection], None]) -> None:
        """Create the tables, or update those of an older pixsearch, in one transaction, and `tell` so.

        After an update `derive` makes what is derived from the rows. Only for the holder of the lock. Raises
        LibraryDamaged for tables that are not those of their version.
        """
        # Not at the top: Alembic takes 0.2 s, which no query should pay.
        from alembic.util import CommandError

        from pixsearch.database.migrations import upgrade

        was_older = self.is_older()
        if was_older:
            with self.reading() as connection:
                photos = connection.scalar(text("SELECT count(*) FROM photos")) or 0
            minutes = max(1, round(photos / UPDATED_A_MINUTE))
            tell(f"{self.name} is brought up to date for this pixsearch: {photos:,} photos, up to {minutes} min")
            self.back_up()
        try:
            with self.writing() as connection:
                upgrade(connection)
                if was_older:
                    derive(connection)
        except (DBAPIError, CommandError) as error:
            raise self._damaged(f"its tables are not those of its version ({error})") from error
        if was_older:
            self.give_back_room()

    @abstractmethod
    def is_there(self) -> bool:
        """Whether there is anything that could be a library."""

    @abstractmethod
    def make(self) -> None:
        """Make the place where the tables will be. Only for the holder of the lock. Raises LibraryError."""

    @abstractmethod
    def only_writer(self) -> AbstractContextManager[None]:
        """Hold the library's lock. Raises LibraryBusy at once if somebody else does, LibraryError."""

    @abstractmethod
    def back_up(self) -> None:
        """Copy what an update of the schema could spoil. Raises LibraryError."""

    @abstractmethod
    def give_back_room(self) -> None:
        """Let the disk have what an update has freed, where that can be done."""

    @abstractmethod
    def size_bytes(self, connection: Connection) -> int:
        """What the tables take."""

    @abstractmethod
    def problems(self, connection: Connection) -> list[str]:
        """What the database says is wrong with itself."""

    @abstractmethod
    def orphans(self, connection: Connection) -> list[str]:
        """Rows whose foreign keys lead nowhere."""

    @abstractmethod
    def rescue(self, copy: Callable[[Connection, Connection], int]) -> Path:
        """Replace this database by a new one, which `copy` fills from it. Only for the holder of the lock.

        `copy` returns how many rows it could read.

        Returns where the old one is kept. Raises LibraryDamaged where nothing can be read.
        """

    @abstractmethod
    def rebuild_indexes(self, connection: Connection) -> None:
        """The database's own, from its rows."""

    @abstractmethod
    def _begin_writing(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _for_people(self, error: DBAPIError) -> LibraryError | None:
        """What an error of the database means for the user; None where it is a mistake of ours."""

    def _damaged(self, what: object) -> LibraryDamaged:
        return LibraryDamaged(f"{self.name} is damaged: {what}", self.mending)

    @contextmanager
    def _errors_for_people(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if (known := self._for_people(error)) is None:
                raise
            raise known from error
        except UnicodeDecodeError as error:  # a message of the driver that quotes rotten names
            raise self._damaged("its tables have names that are no text") from error

    def _schema_version(self) -> str | None:
        """The Alembic revision; None for a database without tables.

        Raises LibraryDamaged for another program's, for one without all tables, and for one to which somebody has added
        what acts by itself: triggers, views, indexes.
        """
        with self.reading() as connection:
            kinds = {str(name): kind for name, kind in connection.execute(text(self.objects))}
            if "alembic_version" not in kinds and len(self.damage):  # which was met on the way here
                raise self._damaged("its tables are not described any more")
            if not kinds:
                return None
            if _OF_OURS.isdisjoint(kinds):
                raise LibraryDamaged(f"{self.name} is no pixsearch library", "Choose another place with --library")
            for name, kind in kinds.items():
                if kind != "table" and name not in _INDEXES:
                    raise self._damaged(f"somebody has added the {kind} {name} to it")
            versions = list[str]()
            if "alembic_version" in kinds:
                versions += connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
            if len(versions) != 1 or not str(versions[0]).isdecimal():
                raise self._damaged("it does not say which version its tables are of")
            if versions[0] == SCHEMA_VERSION and (missing := METADATA.tables.keys() - kinds.keys()):
                raise self._damaged(f"it has no table {min(missing)}")
            return str(versions[0])


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """The values in as many parts as it takes to hand each to one statement."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def in_chunks(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """The items as they come, this many at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def newer(name: str, version: str) -> LibraryDamaged:
    return LibraryDamaged(
        f"the library {name} was written by a newer pixsearch (schema {version})",
        "Update pixsearch; nothing was changed",
    )


def library_not_found(name: str) -> LibraryNotFound:
    return LibraryNotFound(f"there is no library in {name} yet", "Make one with: pixsearch index FOLDER")
