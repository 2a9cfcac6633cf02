"""The outbox, which contains feature changes that must still be sent to a vector service.

A transaction that adds or removes features also puts the ids of their contents in the outbox. The ids are deleted once
the service has received the changes. Sending a change twice is harmless, so the next writer can continue after an
interruption.
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


def vectors_location(connection: Connection) -> str | None:
    """Return the URL of the service that holds the vectors, or None if they are in a file."""
    return state_of(connection).location


def note_changes(connection: Connection, content_ids: Collection[int]) -> None:
    """Record in the outbox that the features of these contents were added or removed."""
    if content_ids and vectors_location(connection) is not None:
        connection.execute(insert(VECTOR_OUTBOX), [{"content_id": id_} for id_ in sorted(content_ids)])


def note_selected(connection: Connection, content_ids: Select[tuple[int]]) -> None:
    """Record in the outbox that the features of the contents selected by a query were added or removed."""
    if vectors_location(connection) is not None:
        connection.execute(insert(VECTOR_OUTBOX).from_select(["content_id"], content_ids))


def note_all(connection: Connection) -> None:
    """Replace the outbox with all contents that have features from the model in use."""
    connection.execute(delete(VECTOR_OUTBOX))
    in_use = state_of(connection).model_id
    note_selected(connection, select(FEATURES.c.content_id).where(FEATURES.c.model_id == in_use))


def pending_ids(connection: Connection) -> set[int]:
    """Return the ids of the contents in the outbox."""
    return set(connection.scalars(select(VECTOR_OUTBOX.c.content_id)))


def count_pending(connection: Connection) -> int:
    """Return the number of contents in the outbox. This is fast even with millions of contents."""
    return connection.execute(select(func.count(VECTOR_OUTBOX.c.content_id.distinct()))).scalar_one()


def flush_outbox(database: Database, index: MilvusIndex) -> None:
    """Send the changes in the outbox to the index. The caller must hold the write lock. Raises LibraryError."""
    import numpy as np

    from pixsearch.filters import NO_FILTERS
    from pixsearch.library.candidates import candidates_of

    while True:
        with database.reading() as connection:
            rows = connection.execute(select(VECTOR_OUTBOX).order_by(VECTOR_OUTBOX.c.id).limit(_AT_ONCE)).all()
            ids = list(dict.fromkeys(row.content_id for row in rows))
            present = candidates_of(connection, ids, NO_FILTERS, database.damage)
        if not rows:
            return
        if present:
            embeddings = np.stack([one.embedding for one in present])
            index.put(
                [one.content_id for one in present],
                embeddings,
                [one.metadata_by_path or (one.metadata,) for one in present],
            )
        if removed := set(ids) - {one.content_id for one in present}:
            index.remove(np.array(sorted(removed), dtype=np.int64))
        _mark_delivered(database, [row.id for row in rows])


def _mark_delivered(database: Database, ids: list[int]) -> None:
    with database.writing() as connection:
        connection.execute(delete(VECTOR_OUTBOX).where(VECTOR_OUTBOX.c.id.in_(ids)))
