"""The vectors of a library as those see them who ask: in a file that is derived, or in a service that is told."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pixsearch.database.database import Database, in_parts
from pixsearch.database.state import LibraryModel, State, state_of
from pixsearch.errors import LibraryError
from pixsearch.extras import require
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.library.filtering import contents_that_pass
from pixsearch.library.outbox import tell
from pixsearch.library.vector_file import Vectors, current_vectors, save_vectors

if TYPE_CHECKING:
    from pixsearch.vectors.milvus_index import MilvusIndex
    from pixsearch.vectors.vector_index import VectorIndex

_MORE = 4
"""How many times as many a service is asked for where too few of what it found pass."""


class LibraryVectors:
    """Holds the index that was used last. Threads may use it together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file: Vectors | None = None
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
            with self._database.reading() as connection:
                among = np.array(contents_that_pass(connection, filters, self._database.damage), dtype=np.int64)
            return [int(id_) for id_ in index.search(query, count, among)[1][0]]
        return self._nearest_of_service(self._service, query, count, filters)

    def _nearest_of_service(
        self, service: MilvusIndex, query: NDArray[np.float32], count: int, filters: Filters
    ) -> list[int]:
        """The service leaves out what it can judge, and the rows what else does not pass of what it finds."""
        asked = 0
        while asked < service.most_found:
            asked = min(max(count, _MORE * asked), service.most_found)
            ids = [int(id_) for id_ in service.search(query, asked, filters=filters)[1][0]]
            with self._database.reading() as connection:
                passing = set(contents_that_pass(connection, filters, self._database.damage, ids))
            found = [id_ for id_ in ids if id_ in passing]
            if len(found) >= count or len(ids) < asked:
                return found[:count]
        # So few pass that they can be named to it.
        with self._database.reading() as connection:
            among = np.array(contents_that_pass(connection, filters, self._database.damage), dtype=np.int64)
        return [int(id_) for id_ in service.search(query, count, among)[1][0]]

    def _passing(self, filters: Filters, among: NDArray[np.int64]) -> NDArray[np.int64]:
        passing = list[int]()
        with self._database.reading() as connection:
            for part in in_parts(among.tolist()):
                passing += contents_that_pass(connection, filters, self._database.damage, part)
        return np.array(passing, np.int64)

    def tell_service(self) -> None:
        """Tell the service what it does not know. Only for the holder of the lock. Raises LibraryError."""
        with self._lock:
            with self._database.reading() as connection:
                state = state_of(connection)
            if (service := self._index_of_service(state)) is not None:
                tell(self._database, service)
                service.drop_other_models()

    def _index_of_file(self, state: State) -> VectorIndex:
        if self._file is None or self._file.generation != state.generation:
            self._file = current_vectors(self._database)
            if not self._file.saved:
                # Where somebody else writes, or the folder is read-only, the index lives in memory only.
                with suppress(LibraryError, OSError), self._database.only_writer():
                    with self._database.reading() as connection:
                        generation = state_of(connection).generation
                    if self._file.generation == generation:
                        save_vectors(self._database, self._file)
        return self._file.index

    def _index_of_service(self, state: State) -> MilvusIndex | None:
        """None where the vectors are in a file."""
        if state.place is None or state.model is None:
            return None
        if self._service is None or self._service.place != state.place or self._model != state.model:
            self.close()
            self._service = service_at(state.place, state.model)
            self._model = state.model
        return self._service


def service_at(place: str, model: LibraryModel) -> MilvusIndex:
    """Raises UsageError for what is no place of vectors; LibraryError where the server does not answer."""
    require("a collection in Milvus", "milvus", "pymilvus")
    from pixsearch.vectors.milvus_index import MilvusIndex  # half a second, for those who have one

    return MilvusIndex(place, model.fingerprint, model.embedding_size)
