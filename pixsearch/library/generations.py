"""Which state of the features a vector file belongs to."""

from __future__ import annotations

from sqlalchemy import Connection, delete, update

from pixsearch.library.schema import VECTOR_FILES, VECTOR_INDEX


def next_generation(connection: Connection) -> int:
    """To be called in every transaction that changes which features there are."""
    grow = update(VECTOR_INDEX).values(generation=VECTOR_INDEX.c.generation + 1)
    return int(connection.execute(grow.returning(VECTOR_INDEX.c.generation)).scalar_one())


def forget_saved_file(connection: Connection) -> None:
    """Let no vector file that was saved so far count as one: the next is made from the features alone."""
    next_generation(connection)
    connection.execute(delete(VECTOR_FILES))
