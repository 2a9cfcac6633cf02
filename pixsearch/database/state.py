"""The row that says which model a library is searched by, where its vectors are, and of which state they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, exists, select, true

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.rows import change_rows
from pixsearch.database.schema import MODELS, VECTOR_FILES, VECTOR_INDEX, VECTOR_OUTBOX
from pixsearch.errors import LibraryDamaged

_BEHIND_INDEX = len(VECTOR_INDEX.c)
MODEL_IN_USE = select(VECTOR_INDEX.c.model_id).scalar_subquery()
"""The id of the model, within a statement; a search has looked at the row before, by `state_of`."""


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model that made features of a library."""

    fingerprint: str
    name: str
    embedding_size: int


class State(NamedTuple):
    """See `vector_index` in the schema."""

    model_id: int | None
    generation: int
    location: str | None
    """The URL of the service that holds the vectors; None where they are in a file."""
    target_id: int | None
    model: LibraryModel | None
    """The one with the id `model_id`."""


def state_of(connection: Connection) -> State:
    """Raises LibraryDamaged."""
    row = connection.execute(
        select(*VECTOR_INDEX.c, *MODELS.c).outerjoin(MODELS, MODELS.c.id == VECTOR_INDEX.c.model_id)
    ).one_or_none()
    if row is None or not is_sound(VECTOR_INDEX, row[:_BEHIND_INDEX]):
        raise _damaged("the row that says which model it is searched by")
    _, model_id, generation, location, target_id, _ = row[:_BEHIND_INDEX]
    return State(model_id, generation, location, target_id, None if model_id is None else _model(row[_BEHIND_INDEX:]))


def model_with(connection: Connection, model_id: int | None) -> LibraryModel | None:
    """Return the model of an id; None for none. Raises LibraryDamaged."""
    row = connection.execute(stored(MODELS).where(MODELS.c.id == model_id)).one_or_none()
    return None if row is None else _model(tuple(row))


def is_index_current(connection: Connection, holder: str) -> bool:
    """Return whether the saved vector file of a holder, or the vector service, has all features as they are now."""
    state = state_of(connection)
    if state.model_id is None:
        return True
    if state.location is not None:
        return not connection.scalar(select(exists(select(VECTOR_OUTBOX.c.id))))
    saved = select(VECTOR_FILES.c.generation).where(VECTOR_FILES.c.holder == holder)
    return connection.scalar(saved) == state.generation


def next_generation(connection: Connection) -> int:
    """Begin a new generation of the features; called in every transaction that adds or removes any."""
    generation = state_of(connection).generation + 1
    change_rows(connection, VECTOR_INDEX, true(), {"generation": generation})
    return generation


def forget_saved_index(connection: Connection) -> None:
    """Make every saved vector file invalid: the next is made from the features alone."""
    next_generation(connection)
    connection.execute(delete(VECTOR_FILES))


def _model(row: tuple[object, ...]) -> LibraryModel:
    if not is_sound(MODELS, row):
        raise _damaged("the row of a model")
    return LibraryModel(*row[1:-1])  # type: ignore[arg-type]  # its columns


def _damaged(what: str) -> LibraryDamaged:
    return LibraryDamaged(f"the library's database is damaged: {what}", "Run: pixsearch repair")
