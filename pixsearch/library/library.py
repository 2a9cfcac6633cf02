"""A library of photos on disk, as those see it who ask it something."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from sqlalchemy import Connection, and_, func, select

from pixsearch.errors import LibraryError, LibraryNotFound
from pixsearch.library.captions import captions_beside
from pixsearch.library.database import DATABASE_NAME, Database, in_parts, library_not_found
from pixsearch.library.lock import only_writer
from pixsearch.library.records import (
    Candidate,
    CaptionedPhoto,
    Failure,
    LibraryModel,
    LibraryStatus,
    Metadata,
    RootStatus,
)
from pixsearch.library.schema import Content, Failed, Features, Grid, Model, Photo, Root, VectorFile
from pixsearch.library.vector_file import (
    EMBEDDING_TYPE,
    Vectors,
    current_generation,
    load_or_make_vectors,
    save_vectors,
)
from pixsearch.library.writer import LibraryWriter
from pixsearch.vectors.base import VectorIndex

__all__ = ["Candidate", "CaptionedPhoto", "Failure", "Library", "LibraryModel", "LibraryStatus", "RootStatus"]


class Library:
    """A library folder: `library.db`, which is the truth, the vector file derived from it, and the writer's lock.

    Not to be shared between threads.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        """For `open` and `create`."""
        self.folder = folder
        self._database = database
        self._vectors: Vectors | None = None

    @classmethod
    def open(cls, folder: Path) -> Library:
        """Open a library that exists. Creates nothing. Raises LibraryNotFound, LibraryDamaged, LibraryError."""
        folder = folder.absolute()
        if not (folder / DATABASE_NAME).is_file():
            raise library_not_found(folder)
        database = Database(folder)
        try:
            database.check()
        except BaseException:
            database.close()
            raise
        return cls(folder, database)

    @classmethod
    def create(cls, folder: Path) -> Library:
        """Open a library, or make an empty one. Raises LibraryBusy, LibraryDamaged, LibraryError."""
        folder = folder.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LibraryError(
                f"cannot make the library {folder}: {error.strerror}", "Choose another with --library FOLDER"
            ) from error
        with suppress(LibraryNotFound):
            return cls.open(folder)
        with only_writer(folder):
            (folder / DATABASE_NAME).touch()
            database = Database(folder)
            try:
                database.migrate()
            finally:
                database.close()
        return cls.open(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def writing(self) -> Iterator[LibraryWriter]:
        """Be the one writer. Raises LibraryBusy, which names the process that is; LibraryError where one cannot write.

        What was committed stays, however the block ends. The vector file is saved when it ends well; otherwise the
        next command makes it.
        """
        with only_writer(self.folder):
            writer = LibraryWriter(self.folder, self._database)
            yield writer
            try:
                writer.save_vectors()
            except OSError as error:
                raise LibraryError(
                    f"the vector file could not be saved in {self.folder}: {error.strerror}",
                    "All photos are stored; the next command makes it again",
                ) from error

    def model(self) -> LibraryModel | None:
        """The model that made the features; None in a library that none has worked on."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(Model.fingerprint, Model.name, Model.embedding_size).join(
                    VectorFile, VectorFile.model_id == Model.id
                )
            ).one_or_none()
        return LibraryModel(*row) if row is not None else None

    def vectors(self) -> VectorIndex:
        """The embeddings of all contents, as they are now, by content id.

        Where the saved file is not right, the index is made again from library.db, and saved if this process may
        write. Raises LibraryNotFound while nothing was ever indexed.
        """
        with self._database.reading() as connection:
            generation = current_generation(connection)
        if self._vectors is None or self._vectors.generation != generation:
            self._vectors = load_or_make_vectors(self.folder, self._database)
            if not self._vectors.saved:
                # Where somebody else writes, or the folder is read-only, the index lives in memory only.
                with suppress(LibraryError, OSError), only_writer(self.folder):
                    self._save_vectors_if_current(self._vectors)
        return self._vectors.index

    def candidates(self, content_ids: Sequence[int]) -> list[Candidate]:
        """The pictures with these ids, in this order. Ids that are not there, or not any more, are left out."""
        found: dict[int, Candidate] = {}
        with self._database.reading() as connection:
            for ids in in_parts(content_ids):
                found |= {candidate.content_id: candidate for candidate in _candidates(connection, ids)}
        return [found[content_id] for content_id in content_ids if content_id in found]

    def status(self) -> LibraryStatus:
        """What the library holds. A root is online if its last run could reach it and it is there now."""
        with self._database.reading() as connection:
            roots = connection.execute(
                select(Root.path, Root.online, func.count(Photo.id))
                .outerjoin(Photo, Photo.root_id == Root.id)
                .group_by(Root.id)
                .order_by(Root.path)
            ).all()
            contents = connection.execute(select(func.count(Content.id))).scalar_one()
            failures = connection.execute(select(func.count(Failed.id))).scalar_one()
        paths = [Path(os.fsdecode(path)) for path, _, _ in roots]
        return LibraryStatus(
            library=self.folder,
            model=self.model(),
            roots=tuple(
                RootStatus(path, online and os.path.isdir(path), photos)  # noqa: PTH112 - Path.is_dir raises on a dead share
                for path, (_, online, photos) in zip(paths, roots, strict=True)
            ),
            photos=sum(photos for _, _, photos in roots),
            contents=contents,
            failures=failures,
            size_bytes=sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file()),
        )

    def failures(self) -> list[Failure]:
        """What could not be indexed, by path."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(Failed.path, Failed.reason, Failed.failed_at_s).order_by(Failed.path)
            ).all()
        return [
            Failure(Path(os.fsdecode(path)), reason, datetime.fromtimestamp(failed_at_s, UTC))
            for path, reason, failed_at_s in rows
        ]

    def captioned_photos(self) -> list[CaptionedPhoto]:
        """The photos that somebody described: in a .txt beside them (read now), or in their own caption or title."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(Photo.path, Content.caption, Content.title)
                .join(Content, Content.id == Photo.content_id)
                .order_by(Photo.path)
            ).all()
        described = []
        for row in rows:
            path = Path(os.fsdecode(row.path))
            captions = [*captions_beside(path), *filter(None, (row.caption, row.title))]
            if captions:
                described.append(CaptionedPhoto(path, tuple(dict.fromkeys(captions))))
        return described

    def _save_vectors_if_current(self, vectors: Vectors) -> None:
        with self._database.reading() as connection:
            if current_generation(connection) != vectors.generation:
                return
        save_vectors(self.folder, self._database, vectors)


def _candidates(connection: Connection, content_ids: Sequence[int]) -> Iterator[Candidate]:
    paths: dict[int, list[Path]] = {}
    for content_id, path in connection.execute(
        select(Photo.content_id, Photo.path)
        .join(Root, Root.id == Photo.root_id)
        .where(Photo.content_id.in_(content_ids))
        .order_by(Root.online.desc(), Photo.path)
    ):
        paths.setdefault(content_id, []).append(Path(os.fsdecode(path)))
    rows = connection.execute(
        select(*Content.__table__.columns, Features.embedding, Grid.grid)
        .join(Features, Features.content_id == Content.id)
        .join(Grid, and_(Grid.content_id == Content.id, Grid.model_id == Features.model_id))
        .join(VectorFile, VectorFile.model_id == Features.model_id)
        .where(Content.id.in_(content_ids))
    )
    for row in rows:
        if row.id in paths:
            yield Candidate(
                content_id=row.id,
                paths=tuple(paths[row.id]),
                metadata=Metadata(
                    format=row.format,
                    width=row.width,
                    height=row.height,
                    taken_at=datetime.fromisoformat(row.taken_at) if row.taken_at else None,
                    camera=row.camera,
                    title=row.title,
                    caption=row.caption,
                ),
                embedding=np.frombuffer(row.embedding, dtype=EMBEDDING_TYPE),
                grid=row.grid,
            )
