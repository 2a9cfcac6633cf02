"""A library of photos, as those see it who ask it something."""

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
    """A database, which is the truth, the vector file derived from it, and the writer's lock: all in one folder, or
    the database in PostgreSQL and the vector file in a folder of this machine.

    Threads may read from one together; only one may write.
    """

    def __init__(self, location: Location, database: Database) -> None:
        """For `open` and `create`."""
        self.location = location
        self.name = database.name
        self.folder = database.folder
        self._database = database
        self._store: IndexStore | None = None
        self._store_lock = Lock()

    @classmethod
    def open(cls, location: Location, tell: Callable[[str], None] = lambda _: None) -> Library:
        """Open a library that exists. Creates nothing, but brings one of an older pixsearch up to date, and tells so.

        Raises LibraryNotFound, LibraryDamaged, LibraryBusy, LibraryError; UsageError for a URL that leads nowhere.
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
        """Open a library, or make an empty one; a PostgreSQL database has to be there. Raises as `open` does."""
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
        """Make the database of a library that cannot be opened again, of what can be read of it.

        Returns where the one of before is kept. Raises LibraryDamaged where nothing can be read, LibraryBusy.
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
        """Be the one writer. Raises LibraryBusy, which names the process that is for longer than a moment; LibraryError
        where one cannot write.

        What was committed stays, however the block ends. The vector file is brought up to date when it ends well;
        otherwise the next command does that.
        """
        with self._only_writer():
            yield LibraryWriter(self._database, lambda: self._index_store().flush_outbox())
            try:
                self._save_index()
            except OSError as error:
                raise LibraryError(
                    f"the vector file could not be saved in {self.folder}: {error.strerror}",
                    "All photos are stored; the next command makes it again",
                ) from error

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Hold the library's lock; wait for a process that has it just to commit what it has read."""
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
        """The model whose features are searched; None in a library that none has worked on."""
        with self._database.reading() as connection:
            return model_of(connection)

    def switch(self) -> Switch | None:
        """The switch to another model that is not finished yet; None where there is none."""
        with self._database.reading() as connection:
            return switch_of(connection)

    def checkpoint(self, model: str | None = None, *, to_index: bool = False) -> Path:
        """The folder of the model of that name, else of the library's own, else of the one that ships.

        Where the library is being switched to another model, that one is its own `to_index` it. Raises ModelNotFound.
        """
        from pixsearch.model.checkpoints import checkpoint_for  # for those who load one

        with self._database.reading() as connection:
            own = (indexing_model_of if to_index else model_of)(connection)
            try:
                return checkpoint_for(model, own)
            except ModelNotFound as error:
                if model is not None or own is None:
                    raise
                raise model_is_gone(connection, self._database, own) from error

    def mismatch(self, name: str, fingerprint: str) -> ModelMismatch:
        """The error for a model, by its name and fingerprint, that did not make the features of this library."""
        with self._database.reading() as connection:
            return mismatch(connection, self._database, name, fingerprint)

    def vectors(self) -> VectorIndex:
        """The embeddings of all contents by content id: as they are now, or in a service as it was told last.

        Where the saved file is not right, the index is made again from the rows, and saved if this process may write.
        Raises LibraryNotFound while nothing was ever indexed, LibraryError.
        """
        return self._index_store().index()

    def nearest(
        self,
        vector: NDArray[np.float32],
        count: int,
        filters: Filters = NO_FILTERS,
        among: NDArray[np.int64] | None = None,
    ) -> list[int]:
        """The ids of the pictures nearest to a unit vector [size] that pass, nearest first, by 16 bits a number; only
        those `among` some, where given.

        Fewer than `count` where there are no more, or more than a service gives at once. Raises as `vectors` does.
        """
        return self._index_store().nearest(vector, count, filters, among)

    def roots(self) -> dict[bytes, ScanRules]:
        """The folders that were given to be indexed, by path, and how each is scanned."""
        with self._database.reading() as connection:
            return {row.path: rules_of(row) for row in root_rows(connection, self._database.damage)}

    def folders_in(
        self, path: bytes | None = None, after: bytes | None = None, most: int = 1000
    ) -> FolderListing | None:
        """Return the subfolders of a folder, `most` at most of those behind a name; without a path the roots, or what
        is in the only one. None for what is not a folder of the library.

        A folder that is told is there; its count may be off by photos whose path has rotted in an index.
        """
        with self._database.reading() as connection:
            return folder_listing(connection, path, after, most, self._database.damage)

    def known_photos(self, folder: bytes) -> Iterator[list[KnownFile]]:
        """The photos at or below a folder, in the order of their paths as bytes, some thousands at a time.

        During a switch to another model, photos that it has not encoded have the size LOOK_AGAIN.
        """
        return known_photos(self._database, folder)

    def known_failures(self, folder: bytes) -> Iterator[list[KnownFile]]:
        """The failures at or below a folder, as `known_photos` has the photos."""
        return known_failures(self._database, folder)

    def known_digests(self, folder: bytes) -> Iterator[tuple[KnownFile, bytes]]:
        """The photos at or below a folder in that order, each with the digest of its content."""
        return known_digests(self._database, folder)

    def passing(self, filters: Filters, among: Sequence[int] | None = None) -> list[int]:
        """The ids of the contents that pass, in ascending order; only those `among` some, where given."""
        from pixsearch.library.filtering import contents_that_pass

        with self._database.reading() as connection:
            return contents_that_pass(connection, filters, self._database.damage, among)

    def timeline(self, filters: Filters = NO_FILTERS) -> list[TimelinePart]:
        """Return how many pictures pass of each day, the newest first, then of each folder those without a date.

        A day or folder of many pictures has several parts, one behind the other. By the camera's own clock.
        """
        from pixsearch.library.timeline import timeline_parts  # numpy takes 0.1 s, as above

        with self._database.reading() as connection:
            return timeline_parts(connection, filters, self._database.damage)

    def timeline_ids(self, filters: Filters = NO_FILTERS) -> list[int]:
        """Return the ids of all pictures that pass, in the order of the timeline."""
        from pixsearch.library.timeline import timeline_ids  # as above

        with self._database.reading() as connection:
            return timeline_ids(connection, filters, self._database.damage)

    def timeline_pictures(
        self, start: int | None, count: int, filters: Filters = NO_FILTERS
    ) -> list[TimelinePicture] | None:
        """Return so many pictures of the timeline that pass, from the one with the id `start` on, else from the newest.

        Fewer at its end. None where there is no such picture, or not any more.
        """
        from pixsearch.library.timeline import timeline_pictures  # as above

        with self._database.reading() as connection:
            return timeline_pictures(connection, filters, start, count, self._database.damage)

    def values(self) -> Mapping[ValueKind, Sequence[ValueCount]]:
        """Return the values that photos can be filtered by, the most frequent first."""
        from pixsearch.library.filtering import values_of_photos

        roots = list(self.roots())
        with self._database.reading() as connection:
            return values_of_photos(connection, roots, self._database.damage)

    def contents_saying(self, ranges: Sequence[TermRange], most: int) -> NDArray[np.int64]:
        """The ids, ascending, of the contents of which a photo has a term in one of these ranges
        (`pixsearch.library.terms`), `most` at most of each."""
        from pixsearch.library.postings import contents_with

        with self._database.reading() as connection:
            return contents_with(connection, ranges, most, self._database.damage)

    def first_term_among(self, terms: Sequence[str]) -> str | None:
        """Return the first of some terms, in the order of their UTF-8, that a photo has; None where none has one."""
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
        """How many pictures there are."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(CONTENTS)) or 0

    def unread(self, folders: Sequence[bytes] | None = None) -> list[int]:
        """The ids of the pictures that are still to be read for text, newest first: those of folders that want it
        (`ScanRules.ocr`) and were there in their last run; only of photos in these `folders`, where given.

        What has no date is as old as its file.
        """
        with self._database.reading() as connection:
            return unread_contents(connection, folders, self._database.damage)

    def by_date(self, filters: Filters, *, newest_first: bool = True) -> list[int]:
        """The ids of the contents that pass, by when their photos were taken; those without a date last."""
        from pixsearch.library.filtering import contents_by_date

        with self._database.reading() as connection:
            return contents_by_date(connection, filters, self._database.damage, newest_first=newest_first)

    def copied(self) -> list[int]:
        """The ids of the contents that more than one photo has, in ascending order."""
        several = select(PHOTOS.c.content_id).group_by(PHOTOS.c.content_id).having(func.count() > 1)
        with self._database.reading() as connection:
            return sorted(row[0] for row in in_ranges(connection, several, self._database.damage))

    def best_first(self) -> list[int]:
        """The ids of all contents: of the most pixels first, of equal ones with a date first, then the largest."""
        from pixsearch.library.filtering import contents_best_first

        with self._database.reading() as connection:
            return contents_best_first(connection, self._database.damage)

    def near_duplicates(self, find: Callable[[], Groups]) -> Groups:
        """Return the groups of near-duplicates among the current contents: those stored, or what `find` returns.

        They are stored until the features change, if this process may write.
        """
        from pixsearch.library.duplicate_groups import kept_or_found

        return kept_or_found(self._database, find)

    def kept_near_duplicates(self) -> Groups | None:
        """Return the groups of near-duplicates that are stored for the current contents; None where none were."""
        from pixsearch.library.duplicate_groups import kept

        return kept(self._database)

    def space_of(self, content_ids: Sequence[int]) -> dict[int, Space]:
        """What the photos of pictures take, by id. Nothing is compared with a checksum."""
        from pixsearch.library.candidates import space_of

        with self._database.reading() as connection:
            return space_of(connection, content_ids, self._database.damage)

    def photo(self, path: FilePath) -> Candidate | None:
        """What the library has of a photo; None where it is not in it, or was changed since it was read."""
        from pixsearch.library.candidates import candidate_at  # numpy takes 0.1 s, as above

        with self._database.reading() as connection:
            return candidate_at(connection, path, self._database.damage)

    def text_files(self) -> dict[bytes, KnownTextFile]:
        """The text files that were given to be indexed, by path."""
        with self._database.reading() as connection:
            return text_files_of(connection)

    def nearest_texts(self, vector: NDArray[np.float32], count: int) -> list[FoundText]:
        """The texts nearest to a unit vector [size], nearest first."""
        with self._database.reading() as connection:
            return nearest_texts(connection, vector, count, self._database.damage)

    def candidates(self, content_ids: Sequence[int], filters: Filters = NO_FILTERS) -> list[Candidate]:
        """The pictures with these ids, in this order. Ids that are not there, or not any more, are left out.

        Of a picture's photos those come first that pass the filters.
        """
        from pixsearch.library.candidates import candidates_of  # as above

        with self._database.reading() as connection:
            return candidates_of(connection, content_ids, filters, self._database.damage)

    def grids(self, content_ids: Sequence[int]) -> dict[int, bytes]:
        """The pixel grids of pictures, as the model packed them, by id. Ids that are not there are left out."""
        from pixsearch.library.candidates import grids_of  # as above

        with self._database.reading() as connection:
            return grids_of(connection, content_ids, self._database.damage)

    def picture(self, content_id: int) -> StoredPicture | None:
        """The picture with an id and the photos that hold it; None where there is none, or not any more."""
        return self.pictures([content_id]).get(content_id)

    def pictures(self, content_ids: Sequence[int]) -> dict[int, StoredPicture]:
        """Pictures by their ids, and the photos that hold them. Ids that are not there are left out."""
        from pixsearch.library.candidates import pictures_of  # as above

        with self._database.reading() as connection:
            return pictures_of(connection, content_ids, self._database.damage)

    def first_paths(self, content_ids: Sequence[int]) -> dict[int, FilePath]:
        """Return the path of the first photo of each picture, by its id. Ids that are not there are left out."""
        from pixsearch.library.candidates import first_paths_of  # as above

        with self._database.reading() as connection:
            return first_paths_of(connection, content_ids, self._database.damage)

    def status(self) -> LibraryStatus:
        """What the library holds. A root is online if its last run could reach it and it is there now."""
        with self._database.reading() as connection:
            return status_of(connection, self._database)

    def check(self) -> Findings:
        """Whether the library keeps its promises, but for the photos' own files. Nothing is written."""
        from pixsearch.library.checks import check

        return check(self._database)

    def damage(self) -> Damage:
        """What is damaged of all that was read since the library was opened, and was left out."""
        return self._database.damage

    def failures(self) -> list[Failure]:
        """What could not be indexed, photos and files of texts, by path."""
        with self._database.reading() as connection:
            return failures_of(connection)

    def notes(self) -> list[Note]:
        """The photos of whose metadata something could not be read, by path."""
        with self._database.reading() as connection:
            return notes_of(connection)

    def captioned_photos(self) -> list[CaptionedPhoto]:
        """The photos that somebody described: in a .txt beside them (read now), or in their own caption or title."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(PHOTOS.c.path, known("caption").label("caption"), known("title").label("title"))
                .select_from(PHOTOS_AND_METADATA)
                .order_by(PHOTOS.c.path)
            ).all()
        described, there = [], Listings()
        for row in rows:
            path = to_path(row.path)
            captions = captions_beside(path, lambda file: there.stamp(file) is not None)
            captions += filter(None, (row.caption, row.title))
            if captions:
                described.append(CaptionedPhoto(path, tuple(dict.fromkeys(captions))))
        return described

    def _index_store(self) -> IndexStore:
        # Not at the top: faiss and numpy take 0.3 s, which a run that finds nothing new need not pay.
        from pixsearch.library.index_store import IndexStore

        with self._store_lock:
            if self._store is None:
                self._store = IndexStore(self._database)
            return self._store

    def _save_index(self) -> None:
        """Bring the vectors up to date, for the holder of the lock. Raises OSError, LibraryError."""
        with self._database.reading() as connection:
            is_current = is_index_current(connection, self._database.holder)
        if not is_current:
            self._index_store().save()


def database_at(location: Location) -> Database:
    """The database of a library, whether it is there or not. Raises UsageError for a URL of nothing we know."""
    if isinstance(location, Path):
        return SqliteDatabase(location)
    from pixsearch.database.postgres_database import PostgresDatabase  # for those who have one

    return PostgresDatabase(location)


def _derive(connection: Connection) -> None:
    """Make what is derived from the rows of a library whose schema was updated."""
    from pixsearch.library.postings import post_all_terms  # for those few

    post_all_terms(connection)
