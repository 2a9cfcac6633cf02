"""The library of photos, as readers see it."""

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
    """A library: its database, the vector file derived from it, and the writer's lock. All are in one folder, or the
    database is in PostgreSQL and the vector file in a folder on this machine.

    Threads may share a library to read; only one may write.
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
        """Open an existing library. One from an older pixsearch is updated, which `tell` reports in a message.

        Raises LibraryNotFound, LibraryDamaged, LibraryBusy, LibraryError, or UsageError for an unknown kind of URL.
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
        """Open a library, or create an empty one; a PostgreSQL database must already exist. Raises as `open` does."""
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
        """Rebuild the database of a library that cannot be opened, from what can be read of it.

        Returns where the old database is kept. Raises LibraryDamaged if nothing can be read, or LibraryBusy.
        """
        from pixsearch.library.repair import copy_sound_rows  # Alembic takes 0.2 s, which no query should pay

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
        """Hold the lock and yield the one writer.

        What was committed stays, however the block ends. The vectors are brought up to date if it ends without an
        error; otherwise the next command does that.

        Raises LibraryBusy, naming the process, if another one holds the lock for more than a moment, or LibraryError if
        the library cannot be written.
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
        """Hold the library's lock; wait for a moment if another process has it, perhaps just to commit."""
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
        """Return the model whose features are searched, or None in an empty library."""
        with self._database.reading() as connection:
            return model_of(connection)

    def switch(self) -> Switch | None:
        """Return the unfinished switch to another model, or None."""
        with self._database.reading() as connection:
            return switch_of(connection)

    def checkpoint(self, model: str | None = None, *, to_index: bool = False) -> Path:
        """Return the checkpoint folder of the model with this name, else of the library's model, else the built-in one.

        During a switch to another model, the library's model `to_index` with is the new one. Raises ModelNotFound.
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
        """Return the error for a model, given by name and fingerprint, that did not make the library's features."""
        with self._database.reading() as connection:
            return mismatch(connection, self._database, name, fingerprint)

    def vectors(self) -> VectorIndex:
        """Return the index of the embeddings of all contents by id. A service has the state that was last sent to it.

        If the saved file is outdated or damaged, the index is updated or rebuilt from the rows, and saved if this
        process may write. Raises LibraryNotFound if nothing was ever indexed, or LibraryError.
        """
        return self._index_store().index()

    def nearest(
        self,
        vector: NDArray[np.float32],
        count: int,
        filters: Filters = NO_FILTERS,
        among: NDArray[np.int64] | None = None,
    ) -> list[int]:
        """Return the ids of pictures that pass, nearest to a unit vector [size] first; only those in `among`, if given.

        Distances are computed with 16 bits per number. There may be fewer than `count`: if no more pass, or up to a
        service's limit. Raises the errors of `vectors`.
        """
        return self._index_store().nearest(vector, count, filters, among)

    def roots(self) -> dict[bytes, ScanRules]:
        """Return the indexed folders by path, each with the rules by which it is scanned."""
        with self._database.reading() as connection:
            return {row.path: rules_of(row) for row in root_rows(connection, self._database.damage)}

    def folders_in(
        self, path: bytes | None = None, after: bytes | None = None, most: int = 1000
    ) -> FolderListing | None:
        """Return the subfolders of a folder, at most `most` of those `after` a name. Without a path, return the roots,
        or the contents of the only root. Return None for a path that is not a folder of the library.

        Every folder listed exists; if the database is damaged, its count may be wrong.
        """
        with self._database.reading() as connection:
            return folder_listing(connection, path, after, most, self._database.damage)

    def known_photos(self, folder: bytes) -> Iterator[list[KnownFile]]:
        """Yield the photos at or below a folder in the order of their paths as bytes, in batches of some thousands.

        During a switch to another model, photos that it has not encoded have the size LOOK_AGAIN.
        """
        return known_photos(self._database, folder)

    def known_failures(self, folder: bytes) -> Iterator[list[KnownFile]]:
        """Yield the failures at or below a folder, as `known_photos` yields the photos."""
        return known_failures(self._database, folder)

    def known_digests(self, folder: bytes) -> Iterator[tuple[KnownFile, bytes]]:
        """Yield the photos at or below a folder in the order of their paths, each with the digest of its content."""
        return known_digests(self._database, folder)

    def passing(self, filters: Filters, among: Sequence[int] | None = None) -> list[int]:
        """Return the ids of the contents that pass, in ascending order; only those in `among`, if given."""
        from pixsearch.library.filtering import contents_that_pass

        with self._database.reading() as connection:
            return contents_that_pass(connection, filters, self._database.damage, among)

    def timeline(self, filters: Filters = NO_FILTERS) -> list[TimelinePart]:
        """Return the number of pictures that pass for each day, newest first, and the undated ones for each folder.

        A day or folder with many pictures has several consecutive parts. Days are in the photos' local time.
        """
        from pixsearch.library.timeline import timeline_parts  # it imports numpy, see _index_store

        with self._database.reading() as connection:
            return timeline_parts(connection, filters, self._database.damage)

    def timeline_ids(self, filters: Filters = NO_FILTERS) -> list[int]:
        """Return the ids of all pictures that pass, in the order of the timeline."""
        from pixsearch.library.timeline import timeline_ids  # it imports numpy

        with self._database.reading() as connection:
            return timeline_ids(connection, filters, self._database.damage)

    def timeline_pictures(
        self, start: int | None, count: int, filters: Filters = NO_FILTERS
    ) -> list[TimelinePicture] | None:
        """Return up to `count` pictures of the timeline that pass, from the one with the id `start` on, or the newest.

        Return None if the id is unknown.
        """
        from pixsearch.library.timeline import timeline_pictures  # it imports numpy

        with self._database.reading() as connection:
            return timeline_pictures(connection, filters, start, count, self._database.damage)

    def values(self) -> Mapping[ValueKind, Sequence[ValueCount]]:
        """Return the values that photos can be filtered by, the most frequent first."""
        from pixsearch.library.filtering import values_of_photos

        roots = list(self.roots())
        with self._database.reading() as connection:
            return values_of_photos(connection, roots, self._database.damage)

    def contents_saying(self, ranges: Sequence[TermRange], most: int) -> NDArray[np.int64]:
        """Return the ids of the contents of photos with a term in one of these ranges, in ascending order.

        At most `most` are found for each range. See `pixsearch.library.terms`.
        """
        from pixsearch.library.postings import contents_with

        with self._database.reading() as connection:
            return contents_with(connection, ranges, most, self._database.damage)

    def first_term_among(self, terms: Sequence[str]) -> str | None:
        """Return the first of these terms, in the order of their UTF-8, that a photo has, or None."""
        from pixsearch.library.postings import first_term_among

        with self._database.reading() as connection:
            found = first_term_among(connection, [term.encode() for term in terms], self._database.damage)
        return None if found is None else found.decode(errors="replace")

    def terms_beginning(self, word: str, most: int) -> list[str]:
        """Return the first `most` terms of photos that begin with a word, in the order of their UTF-8."""
        from pixsearch.library.postings import terms_beginning

        with self._database.reading() as connection:
            found = terms_beginning(connection, *beginning_with(word), most, self._database.damage)
        return [term.decode(errors="replace") for term in found]

    def count_contents(self) -> int:
        """Return the number of pictures."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(CONTENTS)) or 0

    def unread(self, folders: Sequence[bytes] | None = None) -> list[int]:
        """Return the ids of the pictures whose text is still to be read, newest first; only in these folders, if given.

        They are in online folders with `ScanRules.ocr`. A photo without a date counts as old as its file.
        """
        with self._database.reading() as connection:
            return unread_contents(connection, folders, self._database.damage)

    def by_date(self, filters: Filters, *, newest_first: bool = True) -> list[int]:
        """Return the ids of the contents that pass, by the date of their photos; those without a date last."""
        from pixsearch.library.filtering import contents_by_date

        with self._database.reading() as connection:
            return contents_by_date(connection, filters, self._database.damage, newest_first=newest_first)

    def copied(self) -> list[int]:
        """Return the ids of the contents with more than one photo, in ascending order."""
        several = select(PHOTOS.c.content_id).group_by(PHOTOS.c.content_id).having(func.count() > 1)
        with self._database.reading() as connection:
            return sorted(row[0] for row in in_ranges(connection, several, self._database.damage))

    def best_first(self) -> list[int]:
        """Return the ids of all contents, the best first: by number of pixels, then with a date, then by size."""
        from pixsearch.library.filtering import contents_best_first

        with self._database.reading() as connection:
            return contents_best_first(connection, self._database.damage)

    def near_duplicates(self, find: Callable[[], Groups]) -> Groups:
        """Return the groups of near-duplicates among the current contents: those stored, or what `find` returns.

        They are stored until the features change, if this process may write.
        """
        from pixsearch.library.duplicate_groups import load_or_find_groups

        return load_or_find_groups(self._database, find)

    def kept_near_duplicates(self) -> Groups | None:
        """Return the groups of near-duplicates stored for the current contents, or None if there are none."""
        from pixsearch.library.duplicate_groups import load_groups

        return load_groups(self._database)

    def space_of(self, content_ids: Sequence[int]) -> dict[int, Space]:
        """Return the disk space of pictures, by id. Checksums are not verified."""
        from pixsearch.library.candidates import space_of

        with self._database.reading() as connection:
            return space_of(connection, content_ids, self._database.damage)

    def photo(self, path: FilePath) -> Candidate | None:
        """Return the picture that a photo belongs to; None if the photo is not in the library or was changed."""
        from pixsearch.library.candidates import candidate_at  # it imports numpy

        with self._database.reading() as connection:
            return candidate_at(connection, path, self._database.damage)

    def text_files(self) -> dict[bytes, KnownTextFile]:
        """Return the indexed text files, by path."""
        with self._database.reading() as connection:
            return text_files_of(connection)

    def nearest_texts(self, vector: NDArray[np.float32], count: int) -> list[FoundText]:
        """Return the texts nearest to a unit vector [size], nearest first."""
        with self._database.reading() as connection:
            return nearest_texts(connection, vector, count, self._database.damage)

    def candidates(self, content_ids: Sequence[int], filters: Filters = NO_FILTERS) -> list[Candidate]:
        """Return the pictures with these ids, in this order. Unknown ids are left out.

        A picture's photos that pass the filters come first.
        """
        from pixsearch.library.candidates import candidates_of  # it imports numpy

        with self._database.reading() as connection:
            return candidates_of(connection, content_ids, filters, self._database.damage)

    def grids(self, content_ids: Sequence[int]) -> dict[int, bytes]:
        """Return the pixel grids of pictures, as the model packed them, by id. Unknown ids are left out."""
        from pixsearch.library.candidates import grids_of  # it imports numpy

        with self._database.reading() as connection:
            return grids_of(connection, content_ids, self._database.damage)

    def picture(self, content_id: int) -> StoredPicture | None:
        """Return the picture with an id and its photos, or None if the id is unknown."""
        return self.pictures([content_id]).get(content_id)

    def pictures(self, content_ids: Sequence[int]) -> dict[int, StoredPicture]:
        """Return pictures and their photos, by id. Unknown ids are left out."""
        from pixsearch.library.candidates import pictures_of  # it imports numpy

        with self._database.reading() as connection:
            return pictures_of(connection, content_ids, self._database.damage)

    def first_paths(self, content_ids: Sequence[int]) -> dict[int, FilePath]:
        """Return the path of the first photo of each picture, by id. Unknown ids are left out."""
        from pixsearch.library.candidates import first_paths_of  # it imports numpy

        with self._database.reading() as connection:
            return first_paths_of(connection, content_ids, self._database.damage)

    def status(self) -> LibraryStatus:
        """Return the library's status. A root is online if its last run could reach it and it still exists."""
        with self._database.reading() as connection:
            return status_of(connection, self._database)

    def check(self) -> Findings:
        """Check the library, except for the photos' own files, without writing."""
        from pixsearch.library.checks import check

        return check(self._database)

    def damage(self) -> Damage:
        """Return the damage that reads have met and left out since the library was opened."""
        return self._database.damage

    def failures(self) -> list[Failure]:
        """Return the photos and text files that could not be indexed, by path."""
        with self._database.reading() as connection:
            return failures_of(connection)

    def notes(self) -> list[Note]:
        """Return the photos that were read only in part: their metadata, or the picture if it is truncated; by path."""
        with self._database.reading() as connection:
            return notes_of(connection)

    def captioned_photos(self) -> list[CaptionedPhoto]:
        """Return the photos with captions: in a .txt beside them (read now), or in their own caption or title."""
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
        # Not at the top: faiss and numpy take 0.3 s, which a run without new photos should not pay.
        from pixsearch.library.index_store import IndexStore

        with self._store_lock:
            if self._store is None:
                self._store = IndexStore(self._database)
            return self._store

    def _save_index(self) -> None:
        """Bring the vectors up to date. Only for the holder of the lock. Raises OSError or LibraryError."""
        with self._database.reading() as connection:
            is_current = is_index_current(connection, self._database.holder)
        if not is_current:
            self._index_store().save()


def database_at(location: Location) -> Database:
    """Return the database of a library, which need not exist. Raises UsageError for an unknown kind of URL."""
    if isinstance(location, Path):
        return SqliteDatabase(location)
    from pixsearch.database.postgres_database import PostgresDatabase  # it needs a driver that not everyone has

    return PostgresDatabase(location)


def _derive(connection: Connection) -> None:
    """Rebuild what is derived from the rows of a library whose schema was updated."""
    from pixsearch.library.postings import post_all_terms  # rarely needed

    post_all_terms(connection)
