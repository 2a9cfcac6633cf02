"""The row of `vector_index`: the model in use, the location of the vectors, and the generation of the features."""

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
"""The id of the model in use, for statements. Call `state_of` first, which checks the row."""


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model that made features of a library."""

    fingerprint: str
    name: str
    embedding_size: int


class State(NamedTuple):
    """The row of `vector_index`, with its model."""

    model_id: int | None
    generation: int
    location: str | None
    """The URL of the service that holds the vectors; None if they are in a file."""
    target_id: int | None
    model: LibraryModel | None
    """The model with the id `model_id`."""


def state_of(connection: Connection) -> State:
    """Read the row. Raises LibraryDamaged."""
    row = connection.execute(
        select(*VECTOR_INDEX.c, *MODELS.c).outerjoin(MODELS, MODELS.c.id == VECTOR_INDEX.c.model_id)
    ).one_or_none()
    if row is None or not is_sound(VECTOR_INDEX, row[:_MODEL_START]):
        raise _damaged("the row that names the model in use")
    _, model_id, generation, location, target_id, _ = row[:_MODEL_START]
    return State(model_id, generation, location, target_id, None if model_id is None else _model(row[_MODEL_START:]))


def model_with(connection: Connection, model_id: int | None) -> LibraryModel | None:
    """Return the model with an id, or None if there is none. Raises LibraryDamaged."""
    row = connection.execute(stored(MODELS).where(MODELS.c.id == model_id)).one_or_none()
    return None if row is None else _model(tuple(row))


def is_index_current(connection: Connection, holder: str) -> bool:
    """Return whether a holder's saved vector file, or the vector service, has the current features."""
    state = state_of(connection)
    if state.model_id is None:
        return True
    if state.location is not None:
        return not connection.scalar(select(exists(select(VECTOR_OUTBOX.c.id))))
    saved = select(VECTOR_FILES.c.generation).where(VECTOR_FILES.c.holder == holder)
    return connection.scalar(saved) == state.generation


def next_generation(connection: Connection) -> int:
    """Begin a new generation of the features. Call this in every transaction that adds or removes any."""
    generation = state_of(connection).generation + 1
    change_rows(connection, VECTOR_INDEX, true(), {"generation": generation})
    return generation


def forget_saved_index(connection: Connection) -> None:
    """Invalidate all saved vector files, so that the next one is rebuilt from the features."""
    next_generation(connection)
    connection.execute(delete(VECTOR_FILES))


def _model(row: tuple[object, ...]) -> LibraryModel:
    if not is_sound(MODELS, row):
        raise _damaged("the row of a model")
    return LibraryModel(*row[1:-1])  # type: ignore[arg-type]  # its columns


def _damaged(what: str) -> LibraryDamaged:
    return LibraryDamaged(f"the library's database is damaged: {what}", "Run: pixsearch repair")
