"""The vector file of a library: derived from library.db, checked when it is read, made again when it is not right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, select, update

from pixsearch.errors import LibraryNotFound
from pixsearch.library.database import Database
from pixsearch.library.schema import Features, Model, VectorFile
from pixsearch.vectors.base import VectorIndex
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError

EMBEDDING_TYPE = np.dtype("<f4")
_ROWS_AT_ONCE = 10_000


@dataclass(slots=True)
class Vectors:
    """The index of a generation of the features, and whether the file on disk is this one."""

    index: VectorIndex
    generation: int
    saved: bool


def load_or_make_vectors(folder: Path, database: Database) -> Vectors:
    """The index that belongs to library.db as it is now: from its file, or where that is not right from library.db."""
    with database.reading() as connection:
        state = _state(connection, folder)
    try:
        if state.saved_generation != state.generation or state.saved_sha256 is None:
            raise StaleIndexError(f"no vector file of generation {state.generation} was saved")
        path = _path(folder, state.saved_generation)
        index = FaissIndex.load(path, state.saved_sha256)
        if len(index) != state.saved_count:
            raise StaleIndexError(f"{path} holds {len(index)} vectors, not {state.saved_count}")
        return Vectors(index, state.generation, saved=True)
    except StaleIndexError:
        with database.reading() as connection:
            state = _state(connection, folder)
            return Vectors(_make(connection, state), state.generation, saved=False)


def current_generation(connection: Connection) -> int:
    return connection.execute(select(VectorFile.generation)).scalar_one()


def next_generation(connection: Connection) -> int:
    """To be called in every transaction that changes which features there are."""
    return connection.execute(
        update(VectorFile).values(generation=VectorFile.generation + 1).returning(VectorFile.generation)
    ).scalar_one()


def save_vectors(folder: Path, database: Database, vectors: Vectors) -> None:
    """Save the index for those who come next. Only for the holder of the lock. Raises OSError, LibraryError.

    The file is there before library.db names it, and older ones go only after that: wherever this is cut off, the
    library has a file that is right, or knows that it has none.
    """
    path = _path(folder, vectors.generation)
    sha256 = vectors.index.save(path)
    with database.writing() as connection:
        connection.execute(
            update(VectorFile).values(
                saved_generation=vectors.generation, saved_sha256=sha256, saved_count=len(vectors.index)
            )
        )
    vectors.saved = True
    for other in folder.glob("vectors-*.faiss*"):
        if other != path:
            other.unlink(missing_ok=True)


class _State(NamedTuple):
    model_id: int
    embedding_size: int
    generation: int
    saved_generation: int | None
    saved_sha256: str | None
    saved_count: int | None


def _state(connection: Connection, folder: Path) -> _State:
    row = connection.execute(
        select(
            Model.id,
            Model.embedding_size,
            VectorFile.generation,
            VectorFile.saved_generation,
            VectorFile.saved_sha256,
            VectorFile.saved_count,
        ).join(Model, Model.id == VectorFile.model_id)
    ).one_or_none()
    if row is None:
        raise LibraryNotFound(f"the library {folder} holds no photos yet", "Add some with: pixsearch index FOLDER")
    return _State(*row)


def _make(connection: Connection, state: _State) -> VectorIndex:
    index = FaissIndex.empty(state.embedding_size)
    rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(
        select(Features.content_id, Features.embedding)
        .where(Features.model_id == state.model_id)
        .order_by(Features.content_id)
    )
    for part in rows.partitions():
        ids = np.array([row.content_id for row in part], dtype=np.int64)
        embeddings = np.frombuffer(b"".join(row.embedding for row in part), dtype=EMBEDDING_TYPE)
        index.add(ids, embeddings.reshape(len(part), state.embedding_size))
    return index


def _path(folder: Path, generation: int) -> Path:
    return folder / f"vectors-{generation}.faiss"
