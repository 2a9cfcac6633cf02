"""Open a photo library to read it, and lock it to write to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Connection, func, select

from pixsearch.captions import captions_beside
from pixsearch.database.database import Database, library_not_found
from pixsearch.database.permissions import make_private_folder
from pixsearch.database.rows import Damage, in_ranges
from pixsearch.database.schema import (
    CONTENTS,
    PHOTOS,
)
from pixsearch.database.sqlite_database import SqliteDatabase, cannot_make
from pixsearch.database.state import LibraryModel, is_index_current
from pixsearch.errors import LibraryBusy, LibraryError, LibraryNotFound, ModelMismatch, ModelNotFound
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.library.folders import folder_listing, known_digests, known_failures, known_photos, root_rows
from pixsearch.library.photo_rows import PHOTOS_AND_METADATA, known
from pixsearch.library.records import (
    Candidate,
    CaptionedPhoto,
    Failure,
    FolderListing,
    FoundText,
    KnownFile,
    KnownTextFile,
    LibraryStatus,
    Note,
    RootStatus,
    ScanRules,
    StoredPicture,
    Switch,
    TimelinePart,
    TimelinePicture,
)
from pixsearch.library.status import (
    failures_of,
    model_of,
    notes_of,
    rules_of,
    status_of,
    text_files_of,
    unread_contents,
)
from pixsearch.library.switching import (
    indexing_model_of,
    mismatch,
    model_is_gone,
    switch_of,
)
from pixsearch.library.terms import beginning_with
from pixsearch.library.texts import nearest_texts
from pixsearch.library.writer import LibraryWriter
from pixsearch.settings import Location
from pixsearch.storage import FilePath, Listings, to_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixsearch.library.checks import Findings
    from pixsearch.library.duplicate_groups import Groups
    from pixsearch.library.filtering import ValueCount, ValueKind
    from pixsearch.library.index_store import IndexStore
    from pixsearch.library.postings import TermRange
    from pixsearch.library.records import Space
    from pixsearch.vectors.vector_index import VectorIndex

__all__ = ["Candidate", "CaptionedPhoto", "Failure", "Library", "LibraryModel", "LibraryStatus", "RootStatus"]

_PATIENCE_S = 1.0


class Library:
    """A photo library, which consists of a database, a vector file derived from it, and a write lock.

    They are all in one folder, or the database is in PostgreSQL and the vector file in a folder on this machine.
    Threads can share a library for reading, but only one thread can write.
    """

    def __init__(self, location: Location, database: Database) -> None:
        """Use `open` or `create` instead."""
        self.location = location
        self.name = database.name
        self.folder = database.folder
        self._database = database
        self._store: IndexStore | None = None
        self._store_lock = Lock()

    @classmethod
    def open(cls, location: Location, tell: Callable[[str], None] = lambda _: None) -> Library:
        """Open an existing library. If an older version of pixsearch made it, upgrade it and report this with `tell`.

        Raises LibraryNotFound, LibraryDamaged, LibraryBusy, LibraryError, or UsageError if the URL is not supported.
        """
        location = location.absolute() if isinstance(location, Path) else location
        database = database_at(location)
        try:
            if not database.is_there():
                raise library_not_found(database.name)
            if database.is_older():
                with database.only_writer():
                    database.migrate(tell, _derive)
            database.check()
        except BaseException:
            database.close()
            raise
        return cls(location, database)

    @classmethod
    def create(cls, location: Location, tell: Callable[[str], None] = lambda _: None) -> Library:
        """Open a library, or create an empty one if it does not exist. A PostgreSQL database must already exist.

        Raises the same errors as `open`.
        """
        location = location.absolute() if isinstance(location, Path) else location
        with suppress(LibraryNotFound):
            return cls.open(location, tell)
        database = database_at(location)
        try:
            make_private_folder(database.folder)
        except OSError as error:
            raise cannot_make(database.folder, error) from error
        try:
            with database.only_writer():
                database.make()
                database.migrate(tell, _derive)
        finally:
            database.close()
        return cls.open(location)

    @staticmethod
    def rescue(location: Location) -> Path:
        """Rebuild a database that cannot be opened, using the rows that can still be read.

        Returns the path of the old database. Raises LibraryDamaged if nothing can be read, or LibraryBusy.
        """
        from pixsearch.library.repair import copy_sound_rows  # imports Alembic, which takes 0.2 s

        database = database_at(location.absolute() if isinstance(location, Path) else location)
        try:
            with database.only_writer():
                return database.rescue(copy_sound_rows)
        finally:
            database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
        self._database.close()

    @contextmanager
    def writing(self) -> Iterator[LibraryWriter]:
        """Lock the library for writing and yield the writer.

        Committed changes are kept even if the block raises an error. The vectors are updated at the end of the block,
        or by the next command after an error.

        Raises LibraryBusy, which names the other process, if the library stays locked for more than a moment, or
        LibraryError if the library cannot be written.
        """
        with self._only_writer():
            yield LibraryWriter(self._database, lambda: self._index_store().flush_outbox())
            try:
                self._save_index()
            except OSError as error:
                raise LibraryError(
                    f"the vector file could not be saved in {self.folder}: {error.strerror}",
                    "All photos are stored; the next command will rebuild the file",
                ) from error

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Hold the write lock. If another process holds it, perhaps only to commit, wait for a moment."""
        until = time.monotonic() + _PATIENCE_S
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(self._database.only_writer())
                    break
                except LibraryBusy:
                    if time.monotonic() >= until:
                        raise
                time.sleep(_PATIENCE_S / 20)
            yield

    def model(self) -> LibraryModel | None:
        """Return the model used for searches, or None if the library is empty."""
        with self._database.reading() as connection:
            return model_of(connection)

    def switch(self) -> Switch | None:
        """Return the unfinished switch to a different model, or None."""
        with self._database.reading() as connection:
            return switch_of(connection)

    def checkpoint(self, model: str | None = None, *, to_index: bool = False) -> Path:
        """Return the checkpoint folder for a model.

        The default is the library's model, or the built-in model if the library has none. During a switch to a
        different model, pass `to_index` to get the new model. Raises ModelNotFound.
        """
        from pixsearch.model.checkpoints import checkpoint_for  # only needed to load a model

        with self._database.reading() as connection:
            own = (indexing_model_of if to_index else model_of)(connection)
            try:
                return checkpoint_for(model, own)
            except ModelNotFound as error:
                if model is not None or own is None:
                    raise
                raise model_is_gone(connection, self._database, own) from error

    def mismatch(self, name: str, fingerprint: str) -> ModelMismatch:
        """Return the error for a model with this name and fingerprint that does not match the library's features."""
        with self._database.reading() as connection:
            return mismatch(connection, self._database, name, fingerprint)

    def vectors(self) -> VectorIndex:
        """Return the index of all embeddings, by content id.

        If the saved file is outdated or damaged, the index is updated or rebuilt from the rows, and saved if this
        process may write. A vector service contains only the changes that have been sent to it. Raises LibraryNotFound
        if nothing has been indexed yet, or LibraryError.
        """
        return self._index_store().index()

    def nearest(
        self,
        vector: NDArray[np.float32],
        count: int,
        filters: Filters = NO_FILTERS,
        among: NDArray[np.int64] | None = None,
    ) -> list[int]:
        """Return the ids of the pictures nearest to a unit vector [size], nearest first.

        Only pictures that pass the filters are returned, and only those in `among` if it is given. Distances are
        computed with 16 bits per number. The result has fewer than `count` ids if fewer pictures pass, or if a vector
        service limits the number of results. Raises the same errors as `vectors`.
        """
        return self._index_store().nearest(vector, count, filters, among)

    def roots(self) -> dict[bytes, ScanRules]:
        """Return the scan rules of the indexed folders, by path."""
        with self._database.reading() as connection:
            return {row.path: rules_of(row) for row in root_rows(connection, self._database.damage)}

    def folders_in(
        self, path: bytes | None = None, after: bytes | None = None, most: int = 1000
    ) -> FolderListing | None:
        """Return up to `most` subfolders of a folder, sorted by name, starting after the name `after` if it is given.

        Without a path, return the roots, or the subfolders of the root if there is only one. Return None if the path is
        not a folder in the library. If the database is damaged, the counts may be wrong, but all listed folders exist.
        """
        with self._database.reading() as connection:
            return folder_listing(connection, path, after, most, self._database.damage)

    def known_photos(self, folder: bytes) -> Iterator[list[KnownFile]]:
        """Yield the photos at or below a folder, sorted by path as bytes, in batches of several thousand.

        During a switch to a different model, photos that the new model has not encoded have the size LOOK_AGAIN.
        """
        return known_photos(self._database, folder)

    def known_failures(self, folder: bytes) -> Iterator[list[KnownFile]]:
        """Yield the failures at or below a folder, in the same order and batches as `known_photos`."""
        return known_failures(self._database, folder)

    def known_digests(self, folder: bytes) -> Iterator[tuple[KnownFile, bytes]]:
        """Yield the photos at or below a folder, sorted by path, each with its content digest."""
        return known_digests(self._database, folder)

    def passing(self, filters: Filters, among: Sequence[int] | None = None) -> list[int]:
        """Return the sorted ids of contents that pass the filters, limited to `among` if given."""
        from pixsearch.library.filtering import contents_that_pass

        with self._database.reading() as connection:
            return contents_that_pass(connection, filters, self._database.damage, among)

    def timeline(self, filters: Filters = NO_FILTERS) -> list[TimelinePart]:
        """Return the timeline of the pictures that pass the filters, split into parts.

        Each day has its own part, newest first, followed by one part for the undated pictures in each folder. A day or
        folder with many pictures has several consecutive parts. Days are in local time.
        """
        from pixsearch.library.timeline import timeline_parts  # imports numpy, see _index_store

        with self._database.reading() as connection:
            return timeline_parts(connection, filters, self._database.damage)

    def timeline_ids(self, filters: Filters = NO_FILTERS) -> list[int]:
        """Return the ids of all pictures that pass the filters, in timeline order."""
        from pixsearch.library.timeline import timeline_ids  # imports numpy

        with self._database.reading() as connection:
            return timeline_ids(connection, filters, self._database.damage)

    def timeline_pictures(
        self, start: int | None, count: int, filters: Filters = NO_FILTERS
    ) -> list[TimelinePicture] | None:
        """Return up to `count` pictures that pass the filters, in timeline order.

        Start at the picture with the id `start`, or at the newest if `start` is None. Return None if the id is unknown.
        """
        from pixsearch.library.timeline import timeline_pictures  # imports numpy

        with self._database.reading() as connection:
            return timeline_pictures(connection, filters, start, count, self._database.damage)

    def values(self) -> Mapping[ValueKind, Sequence[ValueCount]]:
        """Return the values that photos can be filtered by, most frequent first."""
        from pixsearch.library.filtering import values_of_photos

        roots = list(self.roots())
        with self._database.reading() as connection:
            return values_of_photos(connection, roots, self._database.damage)

    def contents_saying(self, ranges: Sequence[TermRange], most: int) -> NDArray[np.int64]:
        """Return the sorted ids of contents with a photo that has a term in one of these ranges.

        At most `most` ids are returned for each range. See `pixsearch.library.terms`.
        """
        from pixsearch.library.postings import contents_with

        with self._database.reading() as connection:
            return contents_with(connection, ranges, most, self._database.damage)

    def first_term_among(self, terms: Sequence[str]) -> str | None:
        """Return the first of these terms, sorted as UTF-8, that any photo has, or None."""
        from pixsearch.library.postings import first_term_among

        with self._database.reading() as connection:
            found = first_term_among(connection, [term.encode() for term in terms], self._database.damage)
        return None if found is None else found.decode(errors="replace")

    def terms_beginning(self, word: str, most: int) -> list[str]:
        """Return the first `most` photo terms that begin with a word, sorted as UTF-8."""
        from pixsearch.library.postings import terms_beginning

        with self._database.reading() as connection:
            found = terms_beginning(connection, *beginning_with(word), most, self._database.damage)
        return [term.decode(errors="replace") for term in found]

    def count_contents(self) -> int:
        """Return the number of pictures."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(CONTENTS)) or 0

    def unread(self, folders: Sequence[bytes] | None = None) -> list[int]:
        """Return the ids of the pictures still waiting for OCR, newest first, limited to these folders if given.

        Only online folders with `ScanRules.ocr` are included. For photos without a date, the file's modification time
        is used.
        """
        with self._database.reading() as connection:
            return unread_contents(connection, folders, self._database.damage)

    def by_date(self, filters: Filters, *, newest_first: bool = True) -> list[int]:
        """Return the ids of contents that pass the filters, sorted by the date of their photos, undated ones last."""
        from pixsearch.library.filtering import contents_by_date

        with self._database.reading() as connection:
            return contents_by_date(connection, filters, self._database.damage, newest_first=newest_first)

    def copied(self) -> list[int]:
        """Return the sorted ids of contents with more than one photo."""
        several = select(PHOTOS.c.content_id).group_by(PHOTOS.c.content_id).having(func.count() > 1)
        with self._database.reading() as connection:
            return sorted(row[0] for row in in_ranges(connection, several, self._database.damage))

    def best_first(self) -> list[int]:
        """Return the ids of all contents, best first.

        Contents are sorted by number of pixels, then by whether they have a reliable date, then by file size.
        """
        from pixsearch.library.filtering import contents_best_first

        with self._database.reading() as connection:
            return contents_best_first(connection, self._database.damage)

    def near_duplicates(self, find: Callable[[], Groups]) -> Groups:
        """Return the stored groups of near-duplicates, or call `find` to find them if none are stored.

        The groups are stored until the features change, if this process may write.
        """
        from pixsearch.library.duplicate_groups import load_or_find_groups

        return load_or_find_groups(self._database, find)

    def kept_near_duplicates(self) -> Groups | None:
        """Return the stored groups of near-duplicates, or None if none are stored for the current features."""
        from pixsearch.library.duplicate_groups import load_groups

        return load_groups(self._database)

    def space_of(self, content_ids: Sequence[int]) -> dict[int, Space]:
        """Return the disk space that pictures use, by id. Checksums are not verified."""
        from pixsearch.library.candidates import space_of

        with self._database.reading() as connection:
            return space_of(connection, content_ids, self._database.damage)

    def photo(self, path: FilePath) -> Candidate | None:
        """Return the picture for a photo, or None if the photo is not in the library or has changed."""
        from pixsearch.library.candidates import candidate_at  # imports numpy

        with self._database.reading() as connection:
            return candidate_at(connection, path, self._database.damage)

    def text_files(self) -> dict[bytes, KnownTextFile]:
        """Return the indexed text files, by path."""
        with self._database.reading() as connection:
            return text_files_of(connection)

    def nearest_texts(self, vector: NDArray[np.float32], count: int) -> list[FoundText]:
        """Return up to `count` texts nearest to a unit vector [size], nearest first."""
        with self._database.reading() as connection:
            return nearest_texts(connection, vector, count, self._database.damage)

    def candidates(self, content_ids: Sequence[int], filters: Filters = NO_FILTERS) -> list[Candidate]:
        """Return the pictures with these ids, in this order. Unknown ids are omitted.

        The photos of each picture are sorted so that photos that pass the filters come first.
        """
        from pixsearch.library.candidates import candidates_of  # imports numpy

        with self._database.reading() as connection:
            return candidates_of(connection, content_ids, filters, self._database.damage)

    def grids(self, content_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the pixel grids of pictures by id, in the model's packed format. Unknown ids are omitted."""
        from pixsearch.library.candidates import grids_of  # imports numpy

        with self._database.reading() as connection:
            return grids_of(connection, content_ids, self._database.damage)

    def picture(self, content_id: int) -> StoredPicture | None:
        """Return the picture with this id and its photos, or None if the id is unknown."""
        return self.pictures([content_id]).get(content_id)

    def pictures(self, content_ids: Sequence[int]) -> dict[int, StoredPicture]:
        """Return pictures and their photos, by id. Unknown ids are omitted."""
        from pixsearch.library.candidates import pictures_of  # imports numpy

        with self._database.reading() as connection:
            return pictures_of(connection, content_ids, self._database.damage)

    def first_paths(self, content_ids: Sequence[int]) -> dict[int, FilePath]:
        """Return the path of the first photo of each picture, by id. Unknown ids are omitted."""
        from pixsearch.library.candidates import first_paths_of  # imports numpy

        with self._database.reading() as connection:
            return first_paths_of(connection, content_ids, self._database.damage)

    def status(self) -> LibraryStatus:
        """Return the status of the library. A root is online if the last run could reach it and it still exists."""
        with self._database.reading() as connection:
            return status_of(connection, self._database)

    def check(self) -> Findings:
        """Check everything except the photo files, without making changes."""
        from pixsearch.library.checks import check

        return check(self._database)

    def damage(self) -> Damage:
        """Return the damage found since the library was opened. Damaged rows are skipped when they are read."""
        return self._database.damage

    def failures(self) -> list[Failure]:
        """Return the photos and text files that could not be indexed, sorted by path."""
        with self._database.reading() as connection:
            return failures_of(connection)

    def notes(self) -> list[Note]:
        """Return the photos that are truncated or whose metadata could be read only in part, sorted by path."""
        with self._database.reading() as connection:
            return notes_of(connection)

    def captioned_photos(self) -> list[CaptionedPhoto]:
        """Return the photos with captions.

        Captions come from .txt files next to the photo, and from the photo's own caption and title. The .txt files are
        read when this method is called.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                select(PHOTOS.c.path, known("caption").label("caption"), known("title").label("title"))
                .select_from(PHOTOS_AND_METADATA)
                .order_by(PHOTOS.c.path)
            ).all()
        captioned, listings = [], Listings()
        for row in rows:
            path = to_path(row.path)
            captions = captions_beside(path, lambda file: listings.stamp(file) is not None)
            captions += filter(None, (row.caption, row.title))
            if captions:
                captioned.append(CaptionedPhoto(path, tuple(dict.fromkeys(captions))))
        return captioned

    def _index_store(self) -> IndexStore:
        # Imported here because faiss and numpy take 0.3 s to import, and a run without new photos does not need them.
        from pixsearch.library.index_store import IndexStore

        with self._store_lock:
            if self._store is None:
                self._store = IndexStore(self._database)
            return self._store

    def _save_index(self) -> None:
        """Update the vectors if necessary. The caller must hold the write lock. Raises OSError or LibraryError."""
        with self._database.reading() as connection:
            is_current = is_index_current(connection, self._database.holder)
        if not is_current:
            self._index_store().save()


def database_at(location: Location) -> Database:
    """Return the database of a library, which may not exist yet. Raises UsageError if the URL is not supported."""
    if isinstance(location, Path):
        return SqliteDatabase(location)
    from pixsearch.database.postgres_database import PostgresDatabase  # needs an optional driver

    return PostgresDatabase(location)


def _derive(connection: Connection) -> None:
    """Rebuild the data derived from the rows, after a schema migration."""
    from pixsearch.library.postings import post_all_terms  # rarely needed

    post_all_terms(connection)
