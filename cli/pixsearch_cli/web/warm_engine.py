"""Keeps the library and its engine loaded, while other processes may index, replace or delete the library."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.database.state import LibraryModel
from pixsearch.search.candidate_reader import CandidateReader
from pixsearch.search.runtime import Runtime
from pixsearch.settings import DATABASE_NAME, Location
from pixsearch_cli.output import show_message

LoadRuntime = Callable[[Library], Runtime]


class WarmEngine:
    """Provides the current library and its engine. It is thread-safe.

    The library itself notices new photos (`Library.vectors`). This class notices if the library was recreated in the
    same folder or indexed with a different model.
    """

    def __init__(self, location: Location, load_runtime: LoadRuntime) -> None:
        """Open the library. Raises LibraryError."""
        self._location = location
        self._load_runtime = load_runtime
        self._lock = Lock()
        self._library = Library.open(location, show_message)
        self._file = self._database_file()
        self._runtime: Runtime | None = None
        self._indexed_with: LibraryModel | None = None

    def close(self) -> None:
        self._library.close()

    def library(self) -> Library:
        """Return the current library. Raises LibraryError."""
        with self._lock:
            return self._current_library()

    def engine(self, reader: CandidateReader | None = None) -> SearchEngine | None:
        """Return the engine, with `reader` as its second stage, or None if nothing was ever indexed.

        Raises LibraryError, ModelError.
        """
        with self._lock:
            library = self._current_library()
            if (indexed_with := library.model()) is None:
                return None
            if self._runtime is None or indexed_with != self._indexed_with:
                self._runtime = self._load_runtime(library)
                self._indexed_with = indexed_with
            return SearchEngine(library, self._runtime, reader)

    def warm_up(self) -> None:
        """Load everything that the first search would wait for. Raises LibraryError, ModelError."""
        if (engine := self.engine()) is not None:
            engine.search(Query((Words("a photo"),)), k=1)

    @property
    def input_size(self) -> int:
        """The edge of the model's input in pixels; 1 if no model is loaded yet."""
        return 1 if self._runtime is None else self._runtime.input_shape.input_size

    def _current_library(self) -> Library:
        if self._file is None or self._database_file() != self._file:
            opened = Library.open(self._location, show_message)
            self._library.close()
            self._library, self._file = opened, self._database_file()
        return self._library

    def _database_file(self) -> tuple[int, int] | None:
        """Return the identity of the database file, or None if it is missing. It is constant for a database server."""
        if isinstance(self._location, str):
            return 0, 0
        try:
            found = (self._location / DATABASE_NAME).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino
