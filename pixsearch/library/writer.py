"""What the one process that holds the lock may do to a library. Each change is one transaction."""

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

if TYPE_CHECKING:  # numpy takes 0.1 s, which a run that finds nothing new need not pay
    import numpy as np
    from numpy.typing import NDArray


FLUSH_AT = 2000
"""How many new contents may wait for a service before they are sent to it."""


class LibraryWriter:
    """Comes from `Library.writing`, which holds the lock meanwhile and brings the vector file up to date at the end."""

    def __init__(self, database: Database, flush_outbox: Callable[[], None]) -> None:
        self._database = database
        self._flush_outbox = flush_outbox
        self._pending = 0
        self._model_id = 0
        self._is_searched = True
        self._photos_changed = False
        """Whether a photo was forgotten or read again, so that a text may describe none any more."""

    def use_vectors(self, location: str | None) -> None:
        """Keep the vectors in the service of a URL from now on; None: in a file. Call `use_model` first.

        Raises UsageError for a URL of no vector service; LibraryError where the service does not answer.
        """
        with self._database.writing() as connection:
            if vectors_location(connection) != location:
                if location is not None and (model := model_of(connection)) is not None:
                    from pixsearch.library.index_store import connect_service  # as above

                    connect_service(location, model).close()
                change_rows(connection, VECTOR_INDEX, true(), {"place": location})
                note_all(connection)

    def use_model(self, model: LibraryModel, *, switch: bool = False, keep_old: bool = False) -> None:
        """Say which model makes the features from here on; to be called before all else.

        Raises ModelMismatch when that is another one so far, unless `switch`: see `switching`. `keep_old` lets searches
        go by the old model until `finish_switch`.
        """
        with self._database.writing() as connection:
            models = models_of(connection)
            of_this = select(MODELS.c.id).where(MODELS.c.fingerprint == model.fingerprint)
            model_id = connection.scalar(of_this)
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
                    self._search_by(connection, model_id)
            self._model_id, self._is_searched = model_id, models_of(connection).in_use == model_id

    def finish_switch(self, looked_at: Collection[bytes]) -> None:
        """Let searches go by the model that the library is being switched to, if only photos in folders that a run has
        just `looked_at` wait for it: they cannot be read now. Features that have a replacement go.
        """
        with self._database.writing() as connection:
            if connection.scalar(select(func.count(MODELS.c.id))) == 1:
                return
            if not self._is_searched and all(
                any(is_at_or_below(root, folder) for folder in looked_at)
                for root in waiting_roots(connection, self._model_id)
            ):
                self._search_by(connection, self._model_id)
                self._is_searched = True
            drop_replaced(connection, models_of(connection))

    def _search_by(self, connection: Connection, model_id: int) -> None:
        if models_of(connection) != (model_id, None):
            is_other = models_of(connection).in_use != model_id
            change_rows(connection, VECTOR_INDEX, true(), {"model_id": model_id, "target_id": None})
            if is_other:
                note_all(connection)
                forget_saved_index(connection)

    def root_of(self, folder: bytes) -> tuple[int, bytes]:
        """Id and path of the root that is this folder or holds it; a new one takes over those below it."""
        with self._database.writing() as connection:
            roots = connection.execute(stored(ROOTS)).all()
            if not all(is_sound(ROOTS, root) for root in roots):
                raise LibraryDamaged("what the library knows of a folder is damaged", "Run: pixsearch repair")
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
        """Remember how a root is scanned."""
        with self._database.writing() as connection:
            change_rows(connection, ROOTS, ROOTS.c.id == root_id, asdict(rules))

    def mark_root(self, folder: bytes, *, online: bool) -> None:
        """Remember whether a folder could be reached, if it is a root."""
        with self._database.writing() as connection:
            change_rows(connection, ROOTS, ROOTS.c.path == folder, {"online": online})

    def forget_root(self, folder: bytes) -> int:
        """Forget a root with all its photos and failures. Returns how many photos that were."""
        with self._database.writing() as connection:
            of_root = PHOTOS.c.root_id.in_(select(ROOTS.c.id).where(ROOTS.c.path == folder))
            photos = connection.execute(delete(PHOTOS).where(of_root)).rowcount
            connection.execute(delete(ROOTS).where(ROOTS.c.path == folder))
        return photos

    def encoded_of_sizes(self, sizes: Collection[int]) -> dict[int, frozenset[bytes]]:
        """By size in bytes the digests of the contents that the model in use has encoded; without sizes of none."""
        digests: dict[int, set[bytes]] = {}
        with self._database.reading() as connection:
            for part in in_parts(sorted(sizes)):
                encoded = self._encoded(CONTENTS.c.size_bytes, CONTENTS.c.digest)
                for size, digest in connection.execute(encoded.where(CONTENTS.c.size_bytes.in_(part))):
                    digests.setdefault(size, set()).add(digest)
        return {size: frozenset(found) for size, found in digests.items()}

    def digests_of(self, paths: Sequence[bytes]) -> dict[bytes, bytes]:
        """By path the digests of the contents of photos."""
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
        """Those of the digests whose contents the model in use has encoded."""
        with self._database.reading() as connection:
            return {
                digest
                for part in in_parts(sorted(digests))
                for digest in connection.scalars(self._encoded(CONTENTS.c.digest).where(CONTENTS.c.digest.in_(part)))
            }

    def set_not_read(self, root_id: int, not_read: Mapping[str, int]) -> None:
        """Remember what in a root is no picture, by suffix."""
        with self._database.writing() as connection:
            change_rows(connection, ROOTS, ROOTS.c.id == root_id, {"not_read": dict(not_read)})

    def store(
        self,
        root_id: int,
        contents: Sequence[NewContent],
        files: Sequence[IndexedFile],
        failures: Sequence[FailedFile],
    ) -> int:
        """Commit a batch: contents to be encoded, files whose content is one of these or known, files that failed.

        Returns how many of the files are failures as well: what is known of their contents is damaged.

        Each path comes once. A photo whose file is no picture any more is forgotten; one whose file could not be read
        (a failure without stamp) stays as it was.
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
        if self._pending >= FLUSH_AT:  # that who asks need not wait for the end of a long run
            self._flush_outbox()
            self._pending = 0
        return stored.refused

    def store_writing(self, writing: Mapping[int, Sequence[str]]) -> None:
        """Keep the lines of text in pictures, by id; none for one in which nothing is written."""
        with self._database.writing() as connection:
            store_writing(connection, writing)

    def forget(self, paths: Collection[bytes]) -> int:
        """Forget photos and failures whose files are gone. Returns how many photos that were."""
        with self._database.writing() as connection:
            delete_paths(connection, paths, FAILURES.c.path)
            photos = delete_paths(connection, paths, PHOTOS.c.path)
        self._photos_changed |= bool(photos)
        return photos

    def try_again(self, reason: str) -> None:
        """Let the next look at the files take those for new that failed for this reason."""
        with self._database.writing() as connection:
            connection.execute(delete(FAILURES).where(FAILURES.c.reason == reason))

    def drop_unused_contents(self) -> None:
        """Throw away what was known of contents that no photo has any more, and texts that describe none."""
        unused = ~exists().where(PHOTOS.c.content_id == CONTENTS.c.id)
        with self._database.reading() as connection:
            is_none = connection.scalar(select(CONTENTS.c.id).where(unused).limit(1)) is None
        if is_none:
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
        """Let the library hold a text file's lines, by their numbers from 1, in place of those it held."""
        with self._database.writing() as connection:
            store_lines(connection, path, stamp, lines)
            drop_unused_texts(connection)

    def store_text_failure(self, failure: FailedFile) -> None:
        """Let a text file be listed as a failure. Its lines are forgotten, unless it could not be read (no stamp)."""
        with self._database.writing() as connection:
            store_text_failure(connection, failure)
            drop_unused_texts(connection)

    def forget_text_file(self, path: bytes) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(TEXT_FILES).where(TEXT_FILES.c.path == path))
            drop_unused_texts(connection)

    def texts_to_encode(self, count: int) -> list[tuple[int, str]]:
        """Some texts, by id, that the model in use has not encoded; none where all are."""
        with self._database.reading() as connection:
            return texts_without_features(connection, self._model_id, count)

    def store_texts(self, embeddings: Mapping[int, NDArray[np.float32]]) -> None:
        """Keep the embeddings of texts, by id."""
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
        """Let the next run read these photos, whatever their stamps are."""
        with self._database.writing() as connection:
            for part in in_parts(sorted(paths)):
                change_rows(connection, PHOTOS, PHOTOS.c.path.in_(part), {"size_bytes": LOOK_AGAIN})

    def drop_damaged(self, damaged: Damaged, without_features: Collection[int]) -> None:
        """Throw away rows that are damaged, and what belongs to them; the next run reads it again.

        A service forgets the contents that have no features then, and those that had none before.
        """
        with self._database.writing() as connection:
            before = set(connection.scalars(select(FEATURES.c.content_id)))
            drop_damaged(connection, damaged)
            after = set(connection.scalars(select(FEATURES.c.content_id)))
            note_changes(connection, (before - after).union(without_features))
            forget_saved_index(connection)

    def make_vectors_again(self, strays: Collection[int]) -> None:
        """Let the vectors be made from the rows alone, at the end of this writing; a service forgets the `strays`."""
        with self._database.writing() as connection:
            note_all(connection)
            note_changes(connection, strays)
            forget_saved_index(connection)

    def make_terms_again(self) -> None:
        """Let the index of what photos say be made from the rows alone."""
        with self._database.writing() as connection:
            post_all_terms(connection)

    def mend_database(self) -> Path | None:
        """Make the database's own indexes again; where that is not enough, the database itself, of its sound rows.

        Returns where the database of before is kept, if it is another one now. Raises LibraryDamaged.
        """
        with suppress(LibraryError, IntegrityError):  # two rows of one key, of which one has rotted
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
        """`counts` by the names of the columns of `runs`."""
        with self._database.writing() as connection:
            change_rows(connection, RUNS, RUNS.c.id == run_id, {"finished_at_s": time.time(), **counts})

    def _encoded(self, *columns: Column[Any]) -> Select[Any]:
        """These columns of the contents that the model in use has encoded."""
        return (
            select(*columns)
            .join(FEATURES, FEATURES.c.content_id == CONTENTS.c.id)
            .where(FEATURES.c.model_id == self._model_id)
        )
