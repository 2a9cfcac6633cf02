"""What the one process that holds the lock may do to a library. Each change is one transaction."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from pixsearch.errors import ModelMismatch
from pixsearch.library.database import Database, in_parts
from pixsearch.library.records import FailedFile, FileStamp, IndexedFile, LibraryModel, NewContent
from pixsearch.library.schema import Content, Failed, Features, Grid, Model, Photo, Root, Run, VectorFile
from pixsearch.library.vector_file import (
    EMBEDDING_TYPE,
    Vectors,
    load_or_make_vectors,
    next_generation,
    save_vectors,
)
from pixsearch.vectors.faiss_index import FaissIndex


class KnownFiles(NamedTuple):
    """What the library knows below a folder. A stamp of None: look at it again, even if it did not change."""

    photos: dict[bytes, FileStamp | None]
    failures: dict[bytes, FileStamp | None]


class LibraryWriter:
    """Comes from `Library.writing`, which holds the lock meanwhile and saves the vectors at the end."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._database = database
        self._model_id = 0
        self._vectors: Vectors | None = None

    def use_model(self, model: LibraryModel, *, switch: bool = False) -> None:
        """Say which model makes the features from here on; to be called before all else.

        Raises ModelMismatch when the library holds features of another model, unless `switch`: then they are thrown
        away, and every photo counts as one to look at again.
        """
        with self._database.writing() as connection:
            used = connection.execute(
                select(Model.id, Model.fingerprint, Model.name).join(VectorFile, VectorFile.model_id == Model.id)
            ).one_or_none()
            if used is not None and used.fingerprint == model.fingerprint:
                self._model_id = used.id
                return
            if used is not None and not switch and connection.scalar(select(exists(select(Features.content_id)))):
                raise ModelMismatch(
                    f"the library {self._folder} was indexed by the model {used.name} ({used.fingerprint[:8]}), "
                    f"not by {model.name} ({model.fingerprint[:8]})",
                    "Index with that one (--model), into another library (--library), or all again (--switch-model)",
                )
            connection.execute(update(VectorFile).values(model_id=None))
            connection.execute(delete(Model))  # and with it its features and grids
            connection.execute(delete(Failed))  # some for its sake; all are tried again
            self._model_id = connection.execute(insert(Model).values(**asdict(model)).returning(Model.id)).scalar_one()
            connection.execute(update(VectorFile).values(model_id=self._model_id))
            generation = next_generation(connection)
        self._vectors = Vectors(FaissIndex.empty(model.embedding_size), generation, saved=False)

    def roots(self) -> list[bytes]:
        with self._database.reading() as connection:
            return list(connection.scalars(select(Root.path).order_by(Root.path)))

    def root_of(self, folder: bytes) -> int:
        """The id of the root that is this folder or holds it; made where there is none, taking over the roots below."""
        with self._database.writing() as connection:
            roots = connection.execute(select(Root.id, Root.path)).all()
            for root in roots:
                if folder == root.path or folder.startswith(_prefix(root.path)):
                    return int(root.id)
            new = connection.execute(insert(Root).values(path=folder, online=True).returning(Root.id)).scalar_one()
            below = [root.id for root in roots if root.path.startswith(_prefix(folder))]
            connection.execute(update(Photo).where(Photo.root_id.in_(below)).values(root_id=new))
            connection.execute(update(Failed).where(Failed.root_id.in_(below)).values(root_id=new))
            connection.execute(delete(Root).where(Root.id.in_(below)))
            return new

    def mark_root(self, folder: bytes, *, online: bool) -> None:
        """Remember whether a folder could be reached, if it is a root."""
        with self._database.writing() as connection:
            connection.execute(update(Root).where(Root.path == folder).values(online=online))

    def known_files(self, folder: bytes) -> KnownFiles:
        """All photos and failures at or below a folder."""
        encoded = exists().where(Features.content_id == Photo.content_id, Features.model_id == self._model_id)
        with self._database.reading() as connection:
            photos = connection.execute(
                select(Photo.path, Photo.size_bytes, Photo.mtime_ns, encoded).where(_at_or_below(folder, Photo.path))
            )
            failures = connection.execute(
                select(Failed.path, Failed.size_bytes, Failed.mtime_ns).where(_at_or_below(folder, Failed.path))
            )
            return KnownFiles(
                {path: FileStamp(size, mtime) if is_encoded else None for path, size, mtime, is_encoded in photos},
                {path: _stamp(size, mtime) for path, size, mtime in failures},
            )

    def encoded_digests(self) -> set[bytes]:
        """The digests of all contents that the model in use has encoded."""
        with self._database.reading() as connection:
            return set(
                connection.scalars(
                    select(Content.digest)
                    .join(Features, Features.content_id == Content.id)
                    .where(Features.model_id == self._model_id)
                )
            )

    def store(
        self,
        root_id: int,
        contents: Sequence[NewContent],
        files: Sequence[IndexedFile],
        failures: Sequence[FailedFile],
    ) -> None:
        """Commit a batch: contents to be encoded, files whose content is one of these or known, files that failed.

        Each path comes once. A photo whose file is no picture any more is forgotten; one whose file could not be read
        (a failure without stamp) stays as it was.
        """
        if not (contents or files or failures):
            return
        vectors = self._current_vectors()
        indexed = [file.path for file in files]
        failed = [failure.path for failure in failures]
        rubbish = [failure.path for failure in failures if failure.stamp is not None]
        with self._database.writing() as connection:
            new_ids = [self._store_content(connection, content) for content in contents]
            generation = next_generation(connection) if contents else vectors.generation
            ids = _content_ids(connection, [file.digest for file in files])
            _delete_paths(connection, indexed + rubbish, Photo.path)
            _delete_paths(connection, indexed + failed, Failed.path)
            if files:
                connection.execute(insert(Photo), [_photo_row(root_id, file, ids[file.digest]) for file in files])
            if failures:
                connection.execute(insert(Failed), [_failure_row(root_id, failure) for failure in failures])
        if contents:
            vectors.index.add(np.array(new_ids), np.stack([content.embedding for content in contents]))
            vectors.generation, vectors.saved = generation, False

    def forget(self, paths: Collection[bytes]) -> int:
        """Forget photos and failures whose files are gone. Returns how many photos that were."""
        with self._database.writing() as connection:
            _delete_paths(connection, paths, Failed.path)
            return _delete_paths(connection, paths, Photo.path)

    def drop_unused_contents(self) -> None:
        """Throw away what was known of contents that no photo has any more."""
        unused = ~exists().where(Photo.content_id == Content.id)
        with self._database.reading() as connection:
            ids = list(connection.scalars(select(Content.id).where(unused)))
        if not ids:
            return
        vectors = self._current_vectors()
        with self._database.writing() as connection:
            connection.execute(delete(Content).where(unused))
            generation = next_generation(connection)
        vectors.index.remove(np.array(ids))
        vectors.generation, vectors.saved = generation, False

    def begin_run(self) -> int:
        with self._database.writing() as connection:
            return connection.execute(insert(Run).values(started_at_s=time.time()).returning(Run.id)).scalar_one()

    def end_run(self, run_id: int, counts: Mapping[str, int]) -> None:
        """`counts` by the names of the columns of `runs`."""
        with self._database.writing() as connection:
            connection.execute(update(Run).where(Run.id == run_id).values(finished_at_s=time.time(), **counts))

    def save_vectors(self) -> None:
        """Save the vectors if they changed. Raises OSError, LibraryError; then the next reader makes them again."""
        if self._vectors is not None and not self._vectors.saved:
            save_vectors(self._folder, self._database, self._vectors)

    def _current_vectors(self) -> Vectors:
        """Loaded before the first change, and from then on kept in step with every commit."""
        if self._vectors is None:
            self._vectors = load_or_make_vectors(self._folder, self._database)
        return self._vectors

    def _store_content(self, connection: Connection, content: NewContent) -> int:
        """Returns its id, which is an old one where another model had encoded it."""
        id_ = connection.scalar(select(Content.id).where(Content.digest == content.digest))
        if id_ is None:
            metadata = asdict(content.metadata)
            metadata["taken_at"] = content.metadata.taken_at and content.metadata.taken_at.isoformat()
            new = insert(Content).values(digest=content.digest, size_bytes=content.size_bytes, **metadata)
            id_ = connection.execute(new.returning(Content.id)).scalar_one()
        key = {"content_id": id_, "model_id": self._model_id}
        embedding = content.embedding.astype(EMBEDDING_TYPE).tobytes()
        connection.execute(insert(Features).values(**key, embedding=embedding))
        connection.execute(insert(Grid).values(**key, grid=content.grid))
        return id_


def _content_ids(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    ids: dict[bytes, int] = {}
    for part in in_parts(digests):
        found = connection.execute(select(Content.digest, Content.id).where(Content.digest.in_(part)))
        ids.update((row.digest, row.id) for row in found)
    return ids


def _delete_paths(connection: Connection, paths: Collection[bytes], column: InstrumentedAttribute[bytes]) -> int:
    return sum(
        connection.execute(delete(column.class_).where(column.in_(part))).rowcount for part in in_parts(sorted(paths))
    )


def _stamp(size_bytes: int | None, mtime_ns: int | None) -> FileStamp | None:
    return None if size_bytes is None or mtime_ns is None else FileStamp(size_bytes, mtime_ns)


def _photo_row(root_id: int, file: IndexedFile, content_id: int) -> dict[str, object]:
    return {"root_id": root_id, "path": file.path, "content_id": content_id, **file.stamp._asdict()}


def _failure_row(root_id: int, failure: FailedFile) -> dict[str, object]:
    size_bytes, mtime_ns = failure.stamp or (None, None)
    return {
        "root_id": root_id,
        "path": failure.path,
        "size_bytes": size_bytes,
        "mtime_ns": mtime_ns,
        "reason": failure.reason,
        "failed_at_s": time.time(),
    }


def _prefix(folder: bytes) -> bytes:
    """What the path of everything below a folder starts with."""
    separator = os.fsencode(os.sep)
    return folder if folder.endswith(separator) else folder + separator


def _at_or_below(folder: bytes, path: InstrumentedAttribute[bytes]) -> ColumnElement[bool]:
    """As a range, which the index on the path answers (and in which % and _ mean nothing)."""
    first = _prefix(folder)
    behind = first[:-1] + bytes([first[-1] + 1])
    return or_(path == folder, and_(path > first, path < behind))
