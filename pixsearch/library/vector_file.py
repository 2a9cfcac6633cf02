"""The vector file of a library: derived from its rows, checked when it is read, caught up or made again as needed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, delete, insert, select

from pixsearch.database.checksums import stored
from pixsearch.database.database import Database, in_parts
from pixsearch.database.permissions import make_private_folder, mode_of_files
from pixsearch.database.rows import Damage, keys_of, sound_rows
from pixsearch.database.schema import EMBEDDING_TYPE, FEATURES, VECTOR_FILES
from pixsearch.database.state import state_of
from pixsearch.errors import LibraryNotFound
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError, largest_file
from pixsearch.vectors.vector_index import Ids
from pixsearch.vectors.vector_index import Vectors as Embeddings


@dataclass(slots=True)
class Vectors:
    """The index of a generation of the features, and whether the file on disk is this one."""

    index: FaissIndex
    generation: int
    model_id: int
    saved: bool
    whole: bool = True
    """Whether every row that it was made from was sound. What is not whole is not saved: who asks next is to be told
    of it too."""


def current_vectors(database: Database) -> Vectors:
    """The index that belongs to the rows as they are now.

    From its file, and where features have come or gone since it was saved, brought up to them; from the rows alone
    where the file is not the one that was saved. Raises LibraryNotFound while nothing was ever indexed, LibraryError.
    """
    with database.reading() as connection:
        state = _state(connection, database)
        try:
            saved = state.saved_generation == state.generation
            index = _load(database.folder, state, read_only=saved)
        except StaleIndexError:
            return _made_again(connection, state, database.damage)
        whole = saved or _catch_up(index, connection, state, database.damage)
        return Vectors(index, state.generation, state.model_id, saved, whole)


def renewed_vectors(database: Database) -> Vectors:
    """`current_vectors`, made again from the rows where the index does not suit so many vectors any more."""
    vectors = current_vectors(database)
    if vectors.index.is_worn():
        with database.reading() as connection:
            state = _state(connection, database)
            return _made_again(connection, state, database.damage)
    return vectors


def save_vectors(database: Database, vectors: Vectors) -> None:
    """Save the index for those who come next, if it is whole. Only for the holder of the lock.

    The file is there before the database names it, and older ones go only after that: wherever this is cut off, the
    library has a file that is right, or knows that it has none. Raises OSError, LibraryError.
    """
    if not vectors.whole:
        return
    make_private_folder(database.folder)
    path = vector_path(database.folder, vectors.generation)
    sha256 = vectors.index.save(path, mode_of_files(database.folder))
    with database.writing() as connection:
        connection.execute(delete(VECTOR_FILES).where(VECTOR_FILES.c.holder == database.holder))
        connection.execute(
            insert(VECTOR_FILES).values(
                holder=database.holder,
                generation=vectors.generation,
                sha256=sha256,
                count=len(vectors.index),
                model_id=vectors.model_id,
            )
        )
    vectors.saved = True
    for other in database.folder.glob("vectors-*.faiss*"):
        if other != path:
            other.unlink(missing_ok=True)


def vector_path(folder: Path, generation: int) -> Path:
    return folder / f"vectors-{generation}.faiss"


class _State(NamedTuple):
    model_id: int
    embedding_size: int
    generation: int
    saved_generation: int | None
    saved_sha256: str | None
    saved_count: int | None
    saved_model_id: int | None


def _state(connection: Connection, database: Database) -> _State:
    state = state_of(connection)
    if state.model_id is None or state.model is None:
        raise LibraryNotFound(
            f"the library {database.name} holds no photos yet", "Add some with: pixsearch index FOLDER"
        )
    files = select(VECTOR_FILES.c.generation, VECTOR_FILES.c.sha256, VECTOR_FILES.c.count, VECTOR_FILES.c.model_id)
    saved = connection.execute(files.where(VECTOR_FILES.c.holder == database.holder)).one_or_none()
    return _State(state.model_id, state.model.embedding_size, state.generation, *(saved or (None,) * 4))


def _load(folder: Path, state: _State, *, read_only: bool) -> FaissIndex:
    """The index that was saved last. Raises StaleIndexError where it is of another model, or not as it was saved."""
    if state.saved_generation is None or state.saved_sha256 is None or state.saved_model_id != state.model_id:
        raise StaleIndexError("no vectors of this model were saved")
    path = vector_path(folder, state.saved_generation)
    limit_bytes = largest_file(state.saved_count or 0, state.embedding_size)
    index = FaissIndex.load(path, state.saved_sha256, read_only=read_only, limit_bytes=limit_bytes)
    if len(index) != state.saved_count:
        raise StaleIndexError(f"{path} holds {len(index)} vectors, not {state.saved_count}")
    return index


def _made_again(connection: Connection, state: _State, damage: Damage) -> Vectors:
    """The index of all features, from the rows alone."""
    ids = keys_of(connection, FEATURES, state.model_id, damage)

    def draw(count: int) -> Embeddings:
        drawn = random.Random(0).sample(ids, count)
        return np.concatenate([_embeddings(connection, state, part, damage)[1] for part in in_parts(sorted(drawn))])

    index = FaissIndex.fitting(len(ids), state.embedding_size, draw)
    whole = _catch_up(index, connection, state, damage)
    return Vectors(index, state.generation, state.model_id, saved=False, whole=whole)


def _catch_up(index: FaissIndex, connection: Connection, state: _State, damage: Damage) -> bool:
    """Make an index of some generation that of now. An id's vector never changes, and no id is ever given again.

    Returns whether all rows that it lacked were sound.
    """
    now = np.array(keys_of(connection, FEATURES, state.model_id, damage), dtype=np.int64)
    index.remove(np.setdiff1d(index.ids(), now))
    for ids in in_parts(np.setdiff1d(now, index.ids()).tolist()):
        index.add(*_embeddings(connection, state, ids, damage))
    for id_ in (missing := np.setdiff1d(now, index.ids()).tolist()):
        damage.note(FEATURES.name, id_)
    return not missing


def _embeddings(
    connection: Connection, state: _State, content_ids: Sequence[int], damage: Damage
) -> tuple[Ids, Embeddings]:
    """Ids [n] and embeddings [n, size] of contents, each of which has one; without those that are damaged."""

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        of_ids = FEATURES.c.content_id.in_(ids)
        return connection.execute(stored(FEATURES).where(FEATURES.c.model_id == state.model_id, of_ids)).all()

    rows = sound_rows(FEATURES, content_ids, read, damage)
    embeddings = np.frombuffer(b"".join(row.embedding for row in rows), dtype=EMBEDDING_TYPE)
    return np.array([row.content_id for row in rows], np.int64), embeddings.reshape(-1, state.embedding_size)
