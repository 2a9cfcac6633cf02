"""The single row of `vector_index`: the current model, the location of the vectors, and the feature generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, exists, select, true

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.rows import change_rows
from pixsearch.database.schema import MODELS, VECTOR_FILES, VECTOR_INDEX, VECTOR_OUTBOX
from pixsearch.errors import LibraryDamaged

_MODEL_START = len(VECTOR_INDEX.c)
MODEL_IN_USE = select(VECTOR_INDEX.c.model_id).scalar_subquery()
"""A subquery for the id of the current model. Call `state_of` first to check the row for damage."""


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model that produced features in a library."""

    fingerprint: str
    name: str
    embedding_size: int


class State(NamedTuple):
    """The row of `vector_index`, with the current model."""

    model_id: int | None
    generation: int
    location: str | None
    """The URL of the vector service, or None if the vectors are in a file."""
    target_id: int | None
    model: LibraryModel | None
    """The current model, whose id is `model_id`."""


def state_of(connection: Connection) -> State:
    """Return the row of `vector_index`. Raises LibraryDamaged."""
    row = connection.execute(
        select(*VECTOR_INDEX.c, *MODELS.c).outerjoin(MODELS, MODELS.c.id == VECTOR_INDEX.c.model_id)
    ).one_or_none()
    if row is None or not is_sound(VECTOR_INDEX, row[:_MODEL_START]):
        raise _damaged("the row for the current model is missing or damaged")
    _, model_id, generation, location, target_id, _ = row[:_MODEL_START]
    return State(model_id, generation, location, target_id, None if model_id is None else _model(row[_MODEL_START:]))


def model_with(connection: Connection, model_id: int | None) -> LibraryModel | None:
    """Return the model with the given id, or None if it does not exist. Raises LibraryDamaged."""
    row = connection.execute(stored(MODELS).where(MODELS.c.id == model_id)).one_or_none()
    return None if row is None else _model(tuple(row))


def is_index_current(connection: Connection, holder: str) -> bool:
    """Return whether the vector file of a holder, or else the vector service, contains the current features."""
    state = state_of(connection)
    if state.model_id is None:
        return True
    if state.location is not None:
        return not connection.scalar(select(exists(select(VECTOR_OUTBOX.c.id))))
    saved = select(VECTOR_FILES.c.generation).where(VECTOR_FILES.c.holder == holder)
    return connection.scalar(saved) == state.generation


def next_generation(connection: Connection) -> int:
    """Increment and return the feature generation. Call this in every transaction that adds or removes features."""
    generation = state_of(connection).generation + 1
    change_rows(connection, VECTOR_INDEX, true(), {"generation": generation})
    return generation


def forget_saved_index(connection: Connection) -> None:
    """Invalidate all saved vector files, so that they will be rebuilt from the features."""
    next_generation(connection)
    connection.execute(delete(VECTOR_FILES))


def _model(row: tuple[object, ...]) -> LibraryModel:
    if not is_sound(MODELS, row):
        raise _damaged("the row for a model is damaged")
    return LibraryModel(*row[1:-1])  # type: ignore[arg-type]  # the columns match the fields


def _damaged(what: str) -> LibraryDamaged:
    return LibraryDamaged(f"the library's database is damaged: {what}", "Run: pixsearch repair")
