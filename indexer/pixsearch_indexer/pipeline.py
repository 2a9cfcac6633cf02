"""The way of a photo into the library: scan, see what changed, decode ahead of the encoder, encode, commit."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from pixsearch.errors import UsageError
from pixsearch.library.library import Library
from pixsearch.library.records import FailedFile, FileStamp, IndexedFile, LibraryModel, NewContent
from pixsearch.library.writer import LibraryWriter
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_indexer.encoder import Encoder
from pixsearch_indexer.load import DecodedPicture, LoadedFile, load_file
from pixsearch_indexer.scan import scan

ENCODE_AT_ONCE = 32
STORE_AT_ONCE = 500
"""Files in a commit when few of them have to be encoded."""
DECODERS = min(4, os.cpu_count() or 1)
"""Threads: Pillow and hashlib work without holding Python's lock."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class IndexReport:
    """What a run did, in files."""

    found: int = 0
    """Picture files seen."""
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    """New, moved, copied or touched files with a content that was known: nothing was encoded for them."""
    forgotten: int = 0
    """Photos whose files are gone."""
    failed: int = 0
    """Files and folders that `Library.failures` now lists for these folders, tried in this run or not."""
    offline: tuple[Path, ...] = ()
    """Folders that were not there, or without any picture where photos are known: their photos are kept."""


def index_folders(
    library: Library,
    encoder: Encoder,
    folders: Sequence[Path],
    on_progress: ProgressCallback = silent,
    *,
    switch_model: bool = False,
) -> IndexReport:
    """Bring the library up to date with these folders; without any, with all that it knows.

    Photos are only read. What is done is committed every few seconds, so a run that is stopped goes on where it was
    when it is started again. One bad file never stops it: `Library.failures` lists it with its reason, and it is tried
    again when it changes.

    Raises UsageError for a folder that is not there and was never indexed, ModelMismatch when the library holds
    features of another model (unless `switch_model`: then every photo is encoded again), LibraryBusy, LibraryError.
    """
    with library.writing() as writer:
        chosen = _chosen(folders, writer)
        writer.use_model(LibraryModel(encoder.fingerprint, encoder.name, encoder.embedding_size), switch=switch_model)
        run_id = writer.begin_run()
        run = _Run(writer, encoder, on_progress)
        work = [run.look_at(folder) for folder in chosen]
        run.encode(work)
        # Only now, so that a photo that moved has found its content again.
        for folder_work in work:
            run.forget(folder_work.gone)
        writer.drop_unused_contents()
        counts = asdict(run.report)
        del counts["offline"]
        writer.end_run(run_id, counts)
    return run.report


class _FolderWork(NamedTuple):
    """What a scan says is to be done for a folder."""

    root_id: int
    changed: dict[bytes, FileStamp]
    gone: list[bytes]


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction: files, and by digest the pictures among them that are to be encoded."""

    files: list[IndexedFile] = field(default_factory=list)
    pictures: dict[bytes, DecodedPicture] = field(default_factory=dict)
    failures: list[FailedFile] = field(default_factory=list)

    def is_full(self) -> bool:
        return len(self.pictures) >= ENCODE_AT_ONCE or len(self.files) + len(self.failures) >= STORE_AT_ONCE


class _Run:
    """One run, folder by folder; `report` grows with what is committed."""

    def __init__(self, writer: LibraryWriter, encoder: Encoder, on_progress: ProgressCallback) -> None:
        self.report = IndexReport()
        self._writer = writer
        self._encoder = encoder
        self._on_progress = on_progress
        self._encoded = writer.encoded_digests()

    def look_at(self, folder: Path) -> _FolderWork:
        """Scan a folder and compare it with what the library knows of it."""
        path = os.fsencode(folder)
        root_id = self._writer.root_of(path)
        known = self._writer.known_files(path)
        before = self.report.found
        seen = scan(path, known.photos, lambda count: self._on_progress(Progress("scanning", before + count)))
        self.report.found += len(seen.files)

        # A drive that is unplugged often leaves an empty folder behind, so emptiness is not taken for an answer.
        offline = not seen.files and bool(known.photos)
        self._writer.mark_root(path, online=not offline and path not in seen.unlisted)
        if offline:
            self.report.offline += (folder,)
            return _FolderWork(root_id, {}, [])

        self._store(root_id, _Batch(failures=[FailedFile(file, None, why) for file, why in seen.unlisted.items()]))
        changed = {}
        for file, stamp in seen.files.items():
            if file in known.failures and known.failures[file] == stamp:
                self.report.failed += 1
            elif file not in known.failures and known.photos.get(file) == stamp:
                self.report.unchanged += 1
            else:
                changed[file] = stamp
        gone = [file for file in known.photos.keys() | known.failures.keys() if seen.is_gone(file)]
        return _FolderWork(root_id, changed, gone)

    def encode(self, work: Sequence[_FolderWork]) -> None:
        """Load, encode and commit all files that changed."""
        done, total = 0, sum(len(folder.changed) for folder in work)
        with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as decoders:
            for folder in work:
                batch = _Batch()
                for loaded in _ahead(decoders, self._load, folder.changed.items()):
                    self._add(loaded, batch)
                    done += 1
                    if batch.is_full():
                        self._store(folder.root_id, batch)
                        batch = _Batch()
                        self._on_progress(Progress("indexing", done, total))
                self._store(folder.root_id, batch)
                self._on_progress(Progress("indexing", done, total))

    def forget(self, paths: Sequence[bytes]) -> None:
        self.report.forgotten += self._writer.forget(paths)

    def _load(self, file: tuple[bytes, FileStamp]) -> LoadedFile | FailedFile | None:
        path, stamp = file
        return load_file(path, stamp, self._encoded, self._encoder.input_size)

    def _add(self, loaded: LoadedFile | FailedFile | None, batch: _Batch) -> None:
        if isinstance(loaded, FailedFile):
            batch.failures.append(loaded)
        elif loaded is not None:
            batch.files.append(IndexedFile(loaded.path, loaded.stamp, loaded.digest))
            # Two copies may have been decoded at the same time, or one just before the other was committed.
            if loaded.decoded is not None and loaded.digest not in self._encoded:
                batch.pictures[loaded.digest] = loaded.decoded

    def _store(self, root_id: int, batch: _Batch) -> None:
        """Encode the pictures of a batch and commit it."""
        contents = self._encode(batch.pictures)
        spoilt = batch.pictures.keys() - {content.digest for content in contents}
        files = [file for file in batch.files if file.digest not in spoilt]
        failures = batch.failures + [
            FailedFile(file.path, file.stamp, "the model made no usable embedding of it")
            for file in batch.files
            if file.digest in spoilt
        ]
        self._writer.store(root_id, contents, files, failures)
        self._encoded.update(content.digest for content in contents)
        self.report.encoded += len(contents)
        self.report.reused += len(files) - len(contents)
        self.report.failed += len(failures)

    def _encode(self, pictures: Mapping[bytes, DecodedPicture]) -> list[NewContent]:
        """Those of the pictures that got an embedding; zeros, infinities and NaN would poison the vector index."""
        if not pictures:
            return []
        embeddings, grids = self._encoder.encode_pictures([decoded.picture for decoded in pictures.values()])
        return [
            NewContent(digest, decoded.size_bytes, decoded.metadata, embedding, grid)
            for (digest, decoded), embedding, grid in zip(pictures.items(), embeddings, grids, strict=True)
            if np.isfinite(embedding).all() and embedding.any()
        ]


def _chosen(folders: Sequence[Path], writer: LibraryWriter) -> list[Path]:
    """The folders by their real paths, without those that lie in another one of them; all roots if there are none."""
    roots = writer.roots()
    if not (folders or roots):
        raise UsageError("the library knows no folder yet", "Name one: pixsearch index FOLDER")
    chosen: list[Path] = []
    for path in sorted(os.path.realpath(os.fsencode(folder.expanduser())) for folder in folders) or roots:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where the parent may not be read
        if not (is_folder or path in roots or writer.known_files(path).photos):
            raise UsageError(f"{os.fsdecode(path)} is not a folder", "Give the folder that holds the photos")
        folder = Path(os.fsdecode(path))
        if not any(folder.is_relative_to(other) for other in chosen):
            chosen.append(folder)
    return chosen


def _ahead(pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results in the order of the items, computed a batch ahead of the one who takes them, and never more."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ENCODE_AT_ONCE:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
