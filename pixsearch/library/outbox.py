"""What a vector index outside of the database has not been told yet.

Ids of contents whose features came or went are written in the very transaction in which they did, and struck out when
the index has been told. Telling it twice does no harm, so wherever this is cut off, the next writer goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Select, delete, func, insert, select

from pixsearch.database.database import Database
from pixsearch.database.schema import FEATURES, VECTOR_OUTBOX
from pixsearch.database.state import state_of

if TYPE_CHECKING:
    from pixsearch.vectors.milvus_index import MilvusIndex

_AT_ONCE = 1000


def vectors_place(connection: Connection) -> str | None:
    """Where the vectors are, if not in a file that is derived."""
    return state_of(connection).place


def note_changes(connection: Connection, content_ids: Collection[int]) -> None:
    """To be called where features of contents came or went."""
    if content_ids and vectors_place(connection) is not None:
        connection.execute(insert(VECTOR_OUTBOX), [{"content_id": id_} for id_ in sorted(content_ids)])


def note_selected(connection: Connection, content_ids: Select[tuple[int]]) -> None:
    """The same for the ids that a query gives."""
    if vectors_place(connection) is not None:
        connection.execute(insert(VECTOR_OUTBOX).from_select(["content_id"], content_ids))


def note_all(connection: Connection) -> None:
    """Let the index be told of all features of the model in use."""
    connection.execute(delete(VECTOR_OUTBOX))
    in_use = state_of(connection).model_id
    note_selected(connection, select(FEATURES.c.content_id).where(FEATURES.c.model_id == in_use))


def waiting(connection: Connection) -> set[int]:
    """The ids that the index has not been told of."""
    return set(connection.scalars(select(VECTOR_OUTBOX.c.content_id)))


def count_waiting(connection: Connection) -> int:
    """How many ids that are; also right after a library of millions has moved to a service."""
    return connection.execute(select(func.count(VECTOR_OUTBOX.c.content_id.distinct()))).scalar_one()


def tell(database: Database, index: MilvusIndex) -> None:
    """Tell the index what it has not been told. Only for the holder of the lock. Raises LibraryError."""
    import numpy as np

    from pixsearch.filters import NO_FILTERS
    from pixsearch.library.candidates import candidates_of

    while True:
        with database.reading() as connection:
            rows = connection.execute(select(VECTOR_OUTBOX).order_by(VECTOR_OUTBOX.c.id).limit(_AT_ONCE)).all()
            ids = list(dict.fromkeys(row.content_id for row in rows))
            there = candidates_of(connection, ids, NO_FILTERS, database.damage)
        if not rows:
            return
        if there:
            embeddings = np.stack([one.embedding for one in there])
            index.put(
                [one.content_id for one in there],
                embeddings,
                [one.metadata_by_path or (one.metadata,) for one in there],
            )
        if gone := set(ids) - {one.content_id for one in there}:
            index.remove(np.array(sorted(gone), dtype=np.int64))
        _strike_out(database, [row.id for row in rows])


def _strike_out(database: Database, ids: list[int]) -> None:
    with database.writing() as connection:
        connection.execute(delete(VECTOR_OUTBOX).where(VECTOR_OUTBOX.c.id.in_(ids)))
