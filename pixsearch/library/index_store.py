"""The vector index of a library, derived from its rows.

The index is in a file on this machine, or in a service that receives its changes from the outbox. The file is verified
when it is read, and updated or rebuilt as needed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, delete, insert, select

from pixsearch.database.checksums import stored
from pixsearch.database.database import Database, in_parts
from pixsearch.database.permissions import make_private_folder, mode_of_files
from pixsearch.database.rows import Damage, keys_of, sound_rows
from pixsearch.database.schema import EMBEDDING_TYPE, FEATURES, VECTOR_FILES
from pixsearch.database.state import LibraryModel, State, state_of
from pixsearch.errors import LibraryError, LibraryNotFound
from pixsearch.extras import require
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.library.filtering import contents_that_pass
from pixsearch.library.outbox import flush_outbox
from pixsearch.printable import plural
from pixsearch.vectors.faiss_index import FaissIndex, StaleIndexError, largest_file
from pixsearch.vectors.vector_index import Ids, VectorIndex, Vectors

if TYPE_CHECKING:
    from pixsearch.vectors.milvus_index import MilvusIndex

_WIDER = 4
"""The factor by which the number of requested vectors grows if too few of the results pass the filters."""


@dataclass(slots=True)
class _FileIndex:
    """The index for one generation of the features."""

    index: FaissIndex
    generation: int
    model_id: int
    saved: bool
    """True if this index has been saved to the file."""
    whole: bool = True
    """True if all rows that it was built from were sound.

    Otherwise it is not saved, so that the next reader reports the damage too.
    """


class IndexStore:
    """The index of a library, kept in memory while it is current. It can be shared between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: _FileIndex | None = None
        self._service: MilvusIndex | None = None
        self._model: LibraryModel | None = None
        self._lock = Lock()

    def close(self) -> None:
        if self._service is not None:
            self._service.close()

    def index(self) -> VectorIndex:
        """See `Library.vectors`."""
        with self._lock:
            with self._database.reading() as connection:
                state = state_of(connection)
            return self._index_of_service(state) or self._index_of_file(state)

    def nearest(
        self, vector: NDArray[np.float32], count: int, filters: Filters, among: NDArray[np.int64] | None
    ) -> list[int]:
        """See `Library.nearest`."""
        index, query = self.index(), vector[np.newaxis]
        if among is not None:
            if filters != NO_FILTERS:
                among = self._passing(filters, among)
            return [int(id_) for id_ in index.search(query, count, among)[1][0]]
        if filters == NO_FILTERS:
            return [int(id_) for id_ in index.search(query, count)[1][0]]
        if index is not self._service:
            return [int(id_) for id_ in index.search(query, count, self._all_passing(filters))[1][0]]
        return self._nearest_of_service(self._service, query, count, filters)

    def save(self) -> None:
        """Update the file or the service from the rows. The caller must hold the write lock.

        Raises OSError or LibraryError, in which case a later command updates the index.
        """
        with self._database.reading() as connection:
            has_service = state_of(connection).location is not None
        if has_service:
            self.flush_outbox()
        else:
            _save(self._database, _renewed(self._database))

    def flush_outbox(self) -> None:
        """Send the changes in the outbox to the service. The caller must hold the write lock. Raises LibraryError."""
        with self._lock:
            with self._database.reading() as connection:
                state = state_of(connection)
            if (service := self._index_of_service(state)) is not None:
                flush_outbox(self._database, service)
                service.drop_other_models()

    def _nearest_of_service(
        self, service: MilvusIndex, query: NDArray[np.float32], count: int, filters: Filters
    ) -> list[int]:
        """Search with the filters that the service supports, and apply the others to its results."""
        requested = 0
        while requested < service.max_results:
            requested = min(max(count, _WIDER * requested), service.max_results)
            ids = [int(id_) for id_ in service.search(query, requested, filters=filters)[1][0]]
            with self._database.reading() as connection:
                passing = set(contents_that_pass(connection, filters, self._database.damage, ids))
            found = [id_ for id_ in ids if id_ in passing]
            if len(found) >= count or len(ids) < requested:
                return found[:count]
        # So few pictures pass that their ids can be listed in the request.
        return [int(id_) for id_ in service.search(query, count, self._all_passing(filters))[1][0]]

    def _all_passing(self, filters: Filters) -> Ids:
        with self._database.reading() as connection:
            return np.array(contents_that_pass(connection, filters, self._database.damage), dtype=np.int64)

    def _passing(self, filters: Filters, among: Ids) -> Ids:
        passing = list[int]()
        with self._database.reading() as connection:
            for part in in_parts(among.tolist()):
                passing += contents_that_pass(connection, filters, self._database.damage, part)
        return np.array(passing, np.int64)

    def _index_of_file(self, state: State) -> VectorIndex:
        if self._file is None or self._file.generation != state.generation:
            self._file = _current(self._database)
            if not self._file.saved:
                # If another process is writing or the folder is read-only, the index stays in memory only.
                with suppress(LibraryError, OSError), self._database.only_writer():
                    with self._database.reading() as connection:
                        generation = state_of(connection).generation
                    if self._file.generation == generation:
                        _save(self._database, self._file)
        return self._file.index

    def _index_of_service(self, state: State) -> MilvusIndex | None:
        """Return the vector service, or None if the vectors are in a file."""
        if state.location is None or state.model is None:
            return None
        if self._service is None or self._service.url != state.location or self._model != state.model:
            self.close()
            self._service = connect_service(state.location, state.model)
            self._model = state.model
        return self._service


def connect_service(url: str, model: LibraryModel) -> MilvusIndex:
    """Connect to a vector service and the collection for a model.

    Raises UsageError if the URL is not a vector service URL, or LibraryError if the service cannot be reached.
    """
    require("storing vectors in Milvus", "milvus", "pymilvus")
    from pixsearch.vectors.milvus_index import MilvusIndex  # takes half a second to import

    return MilvusIndex(url, model.fingerprint, model.embedding_size)


def vector_path(folder: Path, generation: int) -> Path:
    """Return the path of the vector file for a generation of the features."""
    return folder / f"vectors-{generation}.faiss"


def _current(database: Database) -> _FileIndex:
    """Return an up-to-date index.

    The saved index is loaded and updated for features that have been added or removed since. If its file is missing or
    has changed, the index is rebuilt from the rows. Raises LibraryNotFound if nothing has been indexed yet, or
    LibraryError.
    """
    with database.reading() as connection:
        saved_file = _saved_file(connection, database)
        try:
            saved = saved_file.saved_generation == saved_file.generation
            index = _load(database.folder, saved_file, read_only=saved)
        except StaleIndexError:
            return _rebuilt(connection, saved_file, database.damage)
        whole = saved or _catch_up(index, connection, saved_file, database.damage)
        return _FileIndex(index, saved_file.generation, saved_file.model_id, saved, whole)


def _renewed(database: Database) -> _FileIndex:
    """Return an up-to-date index. Rebuild it if its number of lists no longer suits the number of vectors."""
    current = _current(database)
    if current.index.needs_rebuild():
        with database.reading() as connection:
            return _rebuilt(connection, _saved_file(connection, database), database.damage)
    return current


def _save(database: Database, current: _FileIndex) -> None:
    """Save the index if it is whole. The caller must hold the write lock.

    The file is written before it is recorded in the database, and older files are deleted last. The library therefore
    never uses a wrong file, even after an interruption. Raises OSError or LibraryError.
    """
    if not current.whole:
        return
    make_private_folder(database.folder)
    path = vector_path(database.folder, current.generation)
    sha256 = current.index.save(path, mode_of_files(database.folder))
    with database.writing() as connection:
        connection.execute(delete(VECTOR_FILES).where(VECTOR_FILES.c.holder == database.holder))
        connection.execute(
            insert(VECTOR_FILES).values(
                holder=database.holder,
                generation=current.generation,
                sha256=sha256,
                count=len(current.index),
                model_id=current.model_id,
            )
        )
    current.saved = True
    for other in database.folder.glob("vectors-*.faiss*"):
        if other != path:
            other.unlink(missing_ok=True)


class _SavedFile(NamedTuple):
    """The model and generation of the rows, and the database record of the last saved file."""

    model_id: int
    embedding_size: int
    generation: int
    saved_generation: int | None
    saved_sha256: str | None
    saved_count: int | None
    saved_model_id: int | None


def _saved_file(connection: Connection, database: Database) -> _SavedFile:
    state = state_of(connection)
    if state.model_id is None or state.model is None:
        raise LibraryNotFound(f"the library {database.name} has no photos yet", "Add some with: pixsearch index FOLDER")
    files = select(VECTOR_FILES.c.generation, VECTOR_FILES.c.sha256, VECTOR_FILES.c.count, VECTOR_FILES.c.model_id)
    saved = connection.execute(files.where(VECTOR_FILES.c.holder == database.holder)).one_or_none()
    return _SavedFile(state.model_id, state.model.embedding_size, state.generation, *(saved or (None,) * 4))


def _load(folder: Path, saved: _SavedFile, *, read_only: bool) -> FaissIndex:
    """Load the last saved index. Raises StaleIndexError if it belongs to a different model or has changed."""
    if saved.saved_generation is None or saved.saved_sha256 is None or saved.saved_model_id != saved.model_id:
        raise StaleIndexError("no vectors have been saved for this model")
    path = vector_path(folder, saved.saved_generation)
    limit_bytes = largest_file(saved.saved_count or 0, saved.embedding_size)
    index = FaissIndex.load(path, saved.saved_sha256, read_only=read_only, limit_bytes=limit_bytes)
    if len(index) != saved.saved_count:
        raise StaleIndexError(f"{path} contains {plural(len(index), 'vector')}, expected {saved.saved_count}")
    return index


def _rebuilt(connection: Connection, saved: _SavedFile, damage: Damage) -> _FileIndex:
    """Build an index of all features from the rows."""
    ids = keys_of(connection, FEATURES, saved.model_id, damage)

    def draw(count: int) -> Vectors:
        drawn = random.Random(0).sample(ids, count)
        return np.concatenate([_embeddings(connection, saved, part, damage)[1] for part in in_parts(sorted(drawn))])

    index = FaissIndex.fitting(len(ids), saved.embedding_size, draw)
    whole = _catch_up(index, connection, saved, damage)
    return _FileIndex(index, saved.generation, saved.model_id, saved=False, whole=whole)


def _catch_up(index: FaissIndex, connection: Connection, saved: _SavedFile, damage: Damage) -> bool:
    """Bring an outdated index up to date, and return whether all added rows were sound.

    Only additions and removals matter, because the vector for an id never changes and ids are never reused.
    """
    now = np.array(keys_of(connection, FEATURES, saved.model_id, damage), dtype=np.int64)
    index.remove(np.setdiff1d(index.ids(), now))
    for ids in in_parts(np.setdiff1d(now, index.ids()).tolist()):
        index.add(*_embeddings(connection, saved, ids, damage))
    for id_ in (missing := np.setdiff1d(now, index.ids()).tolist()):
        damage.note(FEATURES.name, id_)
    return not missing


def _embeddings(
    connection: Connection, saved: _SavedFile, content_ids: Sequence[int], damage: Damage
) -> tuple[Ids, Vectors]:
    """Return the ids [n] and embeddings [n, size] of contents. Damaged embeddings are omitted."""

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        of_ids = FEATURES.c.content_id.in_(ids)
        return connection.execute(stored(FEATURES).where(FEATURES.c.model_id == saved.model_id, of_ids)).all()

    rows = sound_rows(FEATURES, content_ids, read, damage)
    embeddings = np.frombuffer(b"".join(row.embedding for row in rows), dtype=EMBEDDING_TYPE)
    return np.array([row.content_id for row in rows], np.int64), embeddings.reshape(-1, saved.embedding_size)
