"""Direct access to a library's database, bypassing our own code."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import ColumnElement, Table

from pixsearch import Library
from pixsearch.database.rows import change_rows

SQLITE_ONLY = pytest.mark.parametrize("location", ["sqlite"], indirect=True)
"""The mark for tests that open the SQLite file."""
VECTOR_FILE = pytest.mark.parametrize(
    "location", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)
"""The mark for tests of the vector file."""


def put(library: Library, table: Table, where: ColumnElement[bool], **values: object) -> None:
    """Store different values in rows, with their checksums, as our own code does."""
    with library.writing(), library._database.writing() as connection:
        change_rows(connection, table, where, values)


def sql(library: Library, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows for an SQL statement with ? placeholders."""
    if isinstance(library.location, Path):
        with closing(sqlite3.connect(library.location / "library.db")) as connection, connection:
            return connection.execute(statement, values).fetchall()
    with psycopg.connect(library.location.replace("+psycopg", "")) as server:
        cursor = server.execute(statement.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []
