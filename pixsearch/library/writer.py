"""Write to a library while holding its lock. Each change is one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Select, delete, exists, func, select, true
from sqlalchemy.exc import IntegrityError

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.database import Database, in_parts
from pixsearch.database.rows import change_rows, insert_row, insert_rows
from pixsearch.database.schema import (
    CONTENTS,
    EMBEDDING_TYPE,
    FAILURES,
    FEATURES,
    LOOK_AGAIN,
    MODELS,
    PHOTOS,
    ROOTS,
    RUNS,
    TEXT_FEATURES,
    TEXT_FILES,
    VECTOR_INDEX,
)
from pixsearch.database.state import LibraryModel, forget_saved_index, next_generation
from pixsearch.errors import LibraryDamaged, LibraryError
from pixsearch.library.outbox import note_all, note_changes, note_selected, vectors_location
from pixsearch.library.postings import post_all_terms, post_terms_below
from pixsearch.library.records import FailedFile, IndexedFile, NewContent, ScanRules
from pixsearch.library.repair import Damaged, drop_damaged
from pixsearch.library.status import model_of
from pixsearch.library.storing import delete_paths, store_batch, store_writing
from pixsearch.library.switching import drop_replaced, mismatch, models_of, waiting_roots
from pixsearch.library.texts import (
    drop_unused_texts,
    store_lines,
    store_text_failure,
    texts_without_features,
)
from pixsearch.paths import is_at_or_below
from pixsearch.storage import FileStamp

if TYPE_CHECKING:  # numpy takes 0.1 s to import, and a run without new photos does not need it
    import numpy as np
    from numpy.typing import NDArray


FLUSH_AT = 2000
"""The number of new contents after which a run sends the outbox to the vector service."""


class LibraryWriter:
    """The writer yielded by `Library.writing`, which holds the lock and updates the vectors at the end."""

    def __init__(self, database: Database, flush_outbox: Callable[[], None]) -> None:
        self._database = database
        self._flush_outbox = flush_outbox
        self._pending = 0
        self._model_id = 0
        self._is_searched = True
        self._photos_changed = False
        """True if a photo was deleted or replaced, in which case some texts may no longer be used."""

    def use_vectors(self, location: str | None) -> None:
        """Keep the vectors in the service at this URL from now on, or in a file if None. Call `use_model` first.

        Raises UsageError if the URL is not a vector service URL, or LibraryError if the service cannot be reached.
        """
        with self._database.writing() as connection:
            if vectors_location(connection) != location:
                if location is not None and (model := model_of(connection)) is not None:
                    from pixsearch.library.index_store import connect_service  # imports numpy

                    connect_service(location, model).close()
                change_rows(connection, VECTOR_INDEX, true(), {"place": location})
                note_all(connection)

    def use_model(self, model: LibraryModel, *, switch: bool = False, keep_old: bool = False) -> None:
        """Set the writer's model, which computes all features from now on. Call this before any other method.

        Raises ModelMismatch if the library has features from a different model, unless `switch` is true (see the
        `switching` module). With `keep_old`, searches use the old model until `finish_switch` is called.
        """
        with self._database.writing() as connection:
            models = models_of(connection)
            model_id = connection.scalar(select(MODELS.c.id).where(MODELS.c.fingerprint == model.fingerprint))
            if model_id is None or model_id != models.indexing:
                has_features = any(
                    connection.scalar(select(exists(select(table.c.model_id)))) for table in (FEATURES, TEXT_FEATURES)
                )
                if has_features and not switch:
                    raise mismatch(connection, self._database, model.name, model.fingerprint)
                if model_id is None:
                    model_id = insert_row(connection, MODELS, asdict(model))
                if has_features and keep_old and model_id != models.in_use:
                    change_rows(connection, VECTOR_INDEX, true(), {"target_id": model_id})
                else:
                    self._set_model_in_use(connection, model_id)
            self._model_id, self._is_searched = model_id, models_of(connection).in_use == model_id

    def finish_switch(self, scanned: Collection[bytes]) -> None:
        """Finish the switch to a different model if possible, and delete replaced features.

        The switch is finished if all photos that are not encoded yet are in `scanned` folders. A run has just scanned
        these folders, so the remaining photos in them cannot be read at the moment.
        """
        with self._database.writing() as connection:
            if connection.scalar(select(func.count(MODELS.c.id))) == 1:
                return
            if not self._is_searched and all(
                any(is_at_or_below(root, folder) for folder in scanned)
                for root in waiting_roots(connection, self._model_id)
            ):
                self._set_model_in_use(connection, self._model_id)
                self._is_searched = True
            drop_replaced(connection, models_of(connection))

    def _set_model_in_use(self, connection: Connection, model_id: int) -> None:
        if models_of(connection) != (model_id, None):
            is_other = models_of(connection).in_use != model_id
            change_rows(connection, VECTOR_INDEX, true(), {"model_id": model_id, "target_id": None})
            if is_other:
                note_all(connection)
                forget_saved_index(connection)

    def root_of(self, folder: bytes) -> tuple[int, bytes]:
        """Return the id and path of the root that is or contains this folder.

        If there is none, the folder becomes a new root, which replaces the roots below it.
        """
        with self._database.writing() as connection:
            roots = connection.execute(stored(ROOTS)).all()
            if not all(is_sound(ROOTS, root) for root in roots):
                raise LibraryDamaged("the library's entry for a folder is damaged", "Run: pixsearch repair")
            for root in roots:
                if is_at_or_below(folder, root.path):
                    return root.id, root.path
            new = insert_row(connection, ROOTS, {"path": folder, "online": True, "not_read": {}, **asdict(ScanRules())})
            inner = [root.id for root in roots if is_at_or_below(root.path, folder)]
            for table in (PHOTOS, FAILURES):
                change_rows(connection, table, table.c.root_id.in_(inner), {"root_id": new})
            connection.execute(delete(ROOTS).where(ROOTS.c.id.in_(inner)))
            post_terms_below(connection, new)
            return new, folder

    def set_rules(self, root_id: int, rules: ScanRules) -> None:
        """Store the rules for scanning a root."""
        with self._database.writing() as connection:
            change_rows(connection, ROOTS, ROOTS.c.id == root_id, asdict(rules))

    def mark_root(self, folder: bytes, *, online: bool) -> None:
        """Store whether a root could be reached. Folders that are not roots are ignored."""
        with self._database.writing() as connection:
            change_rows(connection, ROOTS, ROOTS.c.path == folder, {"online": online})

    def forget_root(self, folder: bytes) -> int:
        """Delete a root with all its photos and failures. Returns the number of deleted photos."""
        with self._database.writing() as connection:
            of_root = PHOTOS.c.root_id.in_(select(ROOTS.c.id).where(ROOTS.c.path == folder))
            photos = connection.execute(delete(PHOTOS).where(of_root)).rowcount
            connection.execute(delete(ROOTS).where(ROOTS.c.path == folder))
        return photos

    def encoded_of_sizes(self, sizes: Collection[int]) -> dict[int, frozenset[bytes]]:
        """Return the digests of contents with these sizes that the writer's model has encoded, by size in bytes.

        Sizes without contents are omitted.
        """
        digests: dict[int, set[bytes]] = {}
        with self._database.reading() as connection:
            for part in in_parts(sorted(sizes)):
                encoded = self._encoded(CONTENTS.c.size_bytes, CONTENTS.c.digest)
                for size, digest in connection.execute(encoded.where(CONTENTS.c.size_bytes.in_(part))):
                    digests.setdefault(size, set()).add(digest)
        return {size: frozenset(found) for size, found in digests.items()}

    def digests_of(self, paths: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the content digests of photos, by path."""
        with self._database.reading() as connection:
            return {
                row.path: row.digest
                for part in in_parts(paths)
                for row in connection.execute(
                    select(PHOTOS.c.path, CONTENTS.c.digest)
                    .join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
                    .where(PHOTOS.c.path.in_(part))
                )
            }

    def encoded_among(self, digests: Collection[bytes]) -> set[bytes]:
        """Return the subset of these digests whose contents the writer's model has encoded."""
        with self._database.reading() as connection:
            return {
                digest
                for part in in_parts(sorted(digests))
                for digest in connection.scalars(self._encoded(CONTENTS.c.digest).where(CONTENTS.c.digest.in_(part)))
            }

    def set_not_read(self, root_id: int, not_read: Mapping[str, int]) -> None:
        """Store the number of files in a root that are not pictures, by suffix."""
        with self._database.writing() as connection:
            change_rows(connection, ROOTS, ROOTS.c.id == root_id, {"not_read": dict(not_read)})

    def store(
        self,
        root_id: int,
        contents: Sequence[NewContent],
        files: Sequence[IndexedFile],
        failures: Sequence[FailedFile],
    ) -> int:
        """Commit a batch of encoded contents, files and failures.

        The content of each file must be in the batch or already stored. Each path must occur only once. A photo whose
        file is no longer a picture is deleted. A photo whose file could not be read is kept; its failure has no stamp.

        Returns the number of files that became failures because the rows of their contents are damaged.
        """
        if not (contents or files or failures):
            return 0
        with self._database.writing() as connection:
            stored = store_batch(connection, self._model_id, root_id, contents, files, failures)
            self._photos_changed |= stored.replaced_photos
            note_changes(connection, stored.photos_of | stored.encoded if self._is_searched else stored.photos_of)
            if contents and self._is_searched:
                next_generation(connection)
            has_service = self._is_searched and vectors_location(connection) is not None
        self._pending += len(contents) if has_service else 0
        if self._pending >= FLUSH_AT:  # so that searches find new photos before the end of a long run
            self._flush_outbox()
            self._pending = 0
        return stored.refused

    def store_writing(self, writing: Mapping[int, Sequence[str]]) -> None:
        """Store the lines of text in pictures, by content id. Pass an empty sequence for a picture without text."""
        with self._database.writing() as connection:
            store_writing(connection, writing)

    def forget(self, paths: Collection[bytes]) -> int:
        """Delete the photos and failures at these paths. Returns the number of deleted photos."""
        with self._database.writing() as connection:
            delete_paths(connection, paths, FAILURES.c.path)
            photos = delete_paths(connection, paths, PHOTOS.c.path)
        self._photos_changed |= bool(photos)
        return photos

    def try_again(self, reason: str) -> None:
        """Delete the failures with this reason, so that the next run tries their files again."""
        with self._database.writing() as connection:
            connection.execute(delete(FAILURES).where(FAILURES.c.reason == reason))

    def drop_unused_contents(self) -> None:
        """Delete contents without photos, and texts that are no longer used."""
        unused = ~exists().where(PHOTOS.c.content_id == CONTENTS.c.id)
        with self._database.reading() as connection:
            has_unused = connection.scalar(select(CONTENTS.c.id).where(unused).limit(1)) is not None
        if not has_unused:
            if self._photos_changed:
                with self._database.writing() as connection:
                    drop_unused_texts(connection)
            return
        with self._database.writing() as connection:
            note_selected(connection, select(CONTENTS.c.id).where(unused))
            connection.execute(delete(CONTENTS).where(unused))
            drop_unused_texts(connection)
            next_generation(connection)

    def store_text_file(self, path: bytes, stamp: FileStamp, lines: Mapping[int, str]) -> None:
        """Replace the stored lines of a text file with these lines, keyed by line number, from 1."""
        with self._database.writing() as connection:
            store_lines(connection, path, stamp, lines)
            drop_unused_texts(connection)

    def store_text_failure(self, failure: FailedFile) -> None:
        """Record a text file as a failure. Its lines are kept if it has no stamp, and deleted otherwise."""
        with self._database.writing() as connection:
            store_text_failure(connection, failure)
            drop_unused_texts(connection)

    def forget_text_file(self, path: bytes) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(TEXT_FILES).where(TEXT_FILES.c.path == path))
            drop_unused_texts(connection)

    def texts_to_encode(self, count: int) -> list[tuple[int, str]]:
        """Return the ids and strings of up to `count` texts that the writer's model has not encoded."""
        with self._database.reading() as connection:
            return texts_without_features(connection, self._model_id, count)

    def store_texts(self, embeddings: Mapping[int, NDArray[np.float32]]) -> None:
        """Store the embeddings of texts, by id."""
        with self._database.writing() as connection:
            insert_rows(
                connection,
                TEXT_FEATURES,
                [
                    {
                        "text_id": text_id,
                        "model_id": self._model_id,
                        "embedding": embedding.astype(EMBEDDING_TYPE).tobytes(),
                    }
                    for text_id, embedding in embeddings.items()
                ],
            )

    def look_again(self, paths: Collection[bytes]) -> None:
        """Mark photos to be read again in the next run, even if their stamps have not changed."""
        with self._database.writing() as connection:
            for part in in_parts(sorted(paths)):
                change_rows(connection, PHOTOS, PHOTOS.c.path.in_(part), {"size_bytes": LOOK_AGAIN})

    def drop_damaged(self, damaged: Damaged, without_features: Collection[int]) -> None:
        """Delete damaged rows and rows that depend on them. The next run reads the affected files again.

        Contents that lose their features, and those in `without_features`, are also deleted from the vector service.
        """
        with self._database.writing() as connection:
            before = set(connection.scalars(select(FEATURES.c.content_id)))
            drop_damaged(connection, damaged)
            after = set(connection.scalars(select(FEATURES.c.content_id)))
            note_changes(connection, (before - after).union(without_features))
            forget_saved_index(connection)

    def rebuild_vectors(self, orphans: Collection[int]) -> None:
        """Rebuild the vectors from the rows at the end of `Library.writing`.

        A vector service also deletes the `orphans`.
        """
        with self._database.writing() as connection:
            note_all(connection)
            note_changes(connection, orphans)
            forget_saved_index(connection)

    def rebuild_terms(self) -> None:
        """Rebuild the term index from the rows."""
        with self._database.writing() as connection:
            post_all_terms(connection)

    def repair_database(self) -> Path | None:
        """Rebuild the database's own indexes. If this is not enough, replace it with a copy of its sound rows.

        Returns the path of the old database if it was replaced, otherwise None. Raises LibraryDamaged.
        """
        with suppress(LibraryError, IntegrityError):  # a damaged key may be equal to another key
            with self._database.writing() as connection:
                self._database.rebuild_indexes(connection)
            with self._database.reading() as connection:
                if not self._database.problems(connection):
                    return None
        from pixsearch.library.repair import copy_sound_rows  # Alembic takes 0.2 s

        return self._database.rescue(copy_sound_rows)

    def begin_run(self) -> int:
        with self._database.writing() as connection:
            return insert_row(connection, RUNS, {**dict.fromkeys(RUNS.c.keys()[1:-1]), "started_at_s": time.time()})

    def end_run(self, run_id: int, counts: Mapping[str, int]) -> None:
        """Record the end of a run, with counts keyed by column name in `runs`."""
        with self._database.writing() as connection:
            change_rows(connection, RUNS, RUNS.c.id == run_id, {"finished_at_s": time.time(), **counts})

    def _encoded(self, *columns: Column[Any]) -> Select[Any]:
        """Return a query for these columns of the contents that the writer's model has encoded."""
        return (
            select(*columns)
            .join(FEATURES, FEATURES.c.content_id == CONTENTS.c.id)
            .where(FEATURES.c.model_id == self._model_id)
        )
