"""Which state of the features a vector file belongs to."""

from __future__ import annotations

from sqlalchemy import Connection, delete, true

from pixsearch.database.rows import change_rows
from pixsearch.database.schema import VECTOR_FILES, VECTOR_INDEX
from pixsearch.database.state import state_of


def next_generation(connection: Connection) -> int:
    """To be called in every transaction that changes which features there are."""
    generation = state_of(connection).generation + 1
    change_rows(connection, VECTOR_INDEX, true(), {"generation": generation})
    return generation


def forget_saved_file(connection: Connection) -> None:
    """Let no vector file that was saved so far count as one: the next is made from the features alone."""
    next_generation(connection)
    connection.execute(delete(VECTOR_FILES))
