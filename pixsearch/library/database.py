"""A library's database: what a transaction is, how it is checked and brought up to date, and how it is locked.

What differs between SQLite and PostgreSQL is in `sqlite_database` and `postgres_database`, and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import ClassVar, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pixsearch.errors import LibraryDamaged, LibraryError, LibraryNotFound
from pixsearch.library.schema import SCHEMA_VERSION

VALUES_AT_ONCE = 10_000
"""In one statement; SQLite takes 32,766, PostgreSQL 65,535."""

Value = TypeVar("Value")


class Database(ABC):
    """Transactions on the database of one library. Threads may read together."""

    table_names: ClassVar[str]
    """The statement that lists the tables there are."""

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
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: everything read in it is of one moment. Raises LibraryError."""
        with self._errors_for_people(), self._engine.begin() as connection:
            yield connection

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
            raise LibraryDamaged(
                f"the library {self.name} was written by a newer pixsearch (schema {version})",
                "Update pixsearch; nothing was changed",
            )

    def is_older(self) -> bool:
        """Whether the tables are those of an older pixsearch."""
        version = self._schema_version()
        return version is not None and version < SCHEMA_VERSION

    def migrate(self) -> None:
        """Create the tables, or bring those of an older pixsearch up to date, in one transaction.

        Only for the holder of the lock.
        """
        # Not at the top: Alembic takes 0.2 s, which no query should pay.
        from pixsearch.library.migrations import upgrade

        was_older = self.is_older()
        if was_older:
            self.back_up()
        with self.writing() as connection:
            upgrade(connection)
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
    def rebuild_indexes(self, connection: Connection) -> None:
        """The database's own, from its rows."""

    @abstractmethod
    def _begin_writing(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _for_people(self, error: DBAPIError) -> LibraryError | None:
        """What an error of the database means for the user; None where it is a mistake of ours."""

    @contextmanager
    def _errors_for_people(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            if (known := self._for_people(error)) is None:
                raise
            raise known from error

    def _schema_version(self) -> str | None:
        """The Alembic revision; None for a database without tables. Raises LibraryDamaged for another program's."""
        with self.reading() as connection:
            tables = connection.execute(text(self.table_names)).scalars().all()
            if not tables:
                return None
            if "alembic_version" not in tables:
                raise LibraryDamaged(f"{self.name} is no pixsearch library", "Choose another place with --library")
            return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def in_parts(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """The values in as many parts as it takes to hand each to one statement."""
    for start in range(0, len(values), VALUES_AT_ONCE):
        yield values[start : start + VALUES_AT_ONCE]


def in_chunks(items: Iterable[Value], size: int) -> Iterator[list[Value]]:
    """The items as they come, this many at a time."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def library_not_found(name: str) -> LibraryNotFound:
    return LibraryNotFound(f"there is no library in {name} yet", "Make one with: pixsearch index FOLDER")
