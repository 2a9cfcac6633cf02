"""The way of a photo into the library: scan, see what changed, decode ahead of the encoder, encode, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from pixsearch.database.database import in_chunks
from pixsearch.database.state import LibraryModel
from pixsearch.errors import Interrupted
from pixsearch.extras import OCR, require
from pixsearch.interruption import Interruption, interruption
from pixsearch.library.library import Library
from pixsearch.library.records import FailedFile, IndexedFile, NewContent, ScanRules
from pixsearch.library.writer import LibraryWriter
from pixsearch.model.checkpoints import is_at_hand
from pixsearch.picture_files import MEGAPIXEL_LIMIT, RAW_WITHOUT_RAWPY, can_read_raw
from pixsearch.progress import Pace, Progress, ProgressCallback, silent
from pixsearch.search.runtime import Encoder
from pixsearch.storage import FilePath, is_remote, to_path
from pixsearch.vectors.faiss_package import require_faiss
from pixsearch_indexer.changes import Counts, Gone, Outdated
from pixsearch_indexer.encoder import NO_EMBEDDING, CheckpointEncoder, encode_pictures
from pixsearch_indexer.ignoring import check_patterns
from pixsearch_indexer.metadata.sidecars import sidecars_of_stamp
from pixsearch_indexer.report import IndexReport
from pixsearch_indexer.roots import chosen_folders
from pixsearch_indexer.scan import Scan
from pixsearch_indexer.survey import add_counts, changes, survey_folder
from pixsearch_indexer.texts import encode_texts, is_text_file, read_text_files
from pixsearch_indexer.thumbnail_cache import SMALL, ThumbnailCache, thumbnails_of_user
from pixsearch_indexer.writing import ReadPictures, read_here, read_writing

if TYPE_CHECKING:
    from pixsearch.decoding import DecodeLimits
    from pixsearch_indexer.decoders import Loaded, ToLoad
    from pixsearch_indexer.load import DecodedPicture

LoadFiles = Callable[["Iterable[ToLoad]", "DecodeLimits", Encoder], "Iterator[Loaded]"]
"""Reads files within limits for an encoder."""

ENCODE_AT_ONCE = 32
STORE_AT_ONCE = 500
"""Files in a commit when few of them have to be encoded, or all come encoded."""
STORE_EVERY_S = 2.0
_IN_RUNS = ("found", "unchanged", "encoded", "reused", "forgotten", "failed")
"""What of a report the library keeps."""


def load_here(files: Iterable[ToLoad], limits: DecodeLimits, encoder: Encoder) -> Iterator[Loaded]:
    """Read and decode files of one folder in worker processes of this machine; encoding them is left to the caller."""
    from pixsearch.decoding import FOR_OBJECTS  # as below
    from pixsearch_indexer.decoders import load_ahead, loading_pool

    files = iter(files)
    if (first := next(files, None)) is None:
        return
    with loading_pool(limits, FOR_OBJECTS if is_remote(first.path) else 1) as pool:
        yield from load_ahead(pool, _preparing(encoder, chain([first], files)), encoder.input_shape)


def _preparing(encoder: Encoder, files: Iterator[ToLoad]) -> Iterator[ToLoad]:
    """Yield the files; the encoder prepares from the first one that is sure to be decoded."""
    for file in files:
        if not file.encoded:
            encoder.prepare_for_pictures()
            yield file
            break
        yield file
    yield from files


def index_folder(
    library: Library, folder: FilePath, model: str | None = None, on_progress: ProgressCallback = silent
) -> IndexReport:
    """Bring the library up to date with a folder, by the model that it was indexed with, else the one that ships.

    `model` is the name or the folder of another one. See `index_folders`, also for what is raised; and ModelNotFound.
    """
    encoder = CheckpointEncoder(library.checkpoint(model, to_index=True))
    return index_folders(library, encoder, [folder], on_progress)


def index_folders(
    library: Library,
    encoder: Encoder,
    folders: Sequence[FilePath],
    on_progress: ProgressCallback = silent,
    *,
    switch_model: bool = False,
    hidden: bool | None = None,
    follow_links: bool | None = None,
    exclude: Sequence[str] | None = None,
    ocr: bool | None = None,
    max_megapixels: int = MEGAPIXEL_LIMIT,
    vectors: str | None = None,
    load_files: LoadFiles = load_here,
    read_pictures: ReadPictures | None = read_here,
) -> IndexReport:
    """Bring the library up to date with these folders; without any, with all that it knows.

    A .txt file among them is not photos but texts, one a line, for photos to find.

    Photos are only read. What is done is committed every few seconds, so a run that is stopped goes on where it was
    when it is started again. One bad file never stops it: `Library.failures` lists it with its reason, and it is tried
    again when it changes. Files are decoded in processes of their own; as ever with those, a script that calls this
    does it under `if __name__ == "__main__"`.

    Args:
        switch_model: encode every photo again where the library holds features of another model. Any later run goes on
            with it. While that other model is at hand searches go by it, until all that can be reached is encoded.
        max_megapixels: larger pictures are failures, before they are decoded.
        load_files: what reads and decodes files, and may encode them as well: processes of this machine, or many
            machines (`pixsearch_indexer.on_ray`).
        vectors: where the vectors are from now on: a service (`milvus+http://host:19530/photos`), or "file".
        hidden, follow_links, exclude, ocr: see `ScanRules`; None leaves each as it was in the folder's last run.
        read_pictures: what reads the writing in pictures of folders that want it, when all else is done: processes of
            this machine, where RapidOCR is installed. None leaves that to a later run.

    Raises:
        UsageError: a folder is not there and was never indexed, or a pattern of `exclude` is none.
        PixsearchError: a folder is in a storage that cannot be asked; FAISS is not installed, or RapidOCR with `ocr`.
        ModelMismatch: the library holds features of another model.
        Interrupted: by Ctrl-C or SIGTERM; what was done is kept.
        LibraryBusy, LibraryError: see `Library.writing`.
    """
    require_faiss()  # before hours of work that need it at their end
    if ocr and read_pictures is read_here:
        require("reading text in pictures", *OCR)
    check_patterns(exclude or ())
    rules = partial(ScanRules.changed, hidden=hidden, follow_links=follow_links, exclude=exclude, ocr=ocr)
    with interruption() as interrupt:
        with library.writing() as writer:
            chosen = chosen_folders(folders, library)
            before = library.model() if switch_model else None
            writer.use_model(
                LibraryModel(encoder.fingerprint, encoder.name, encoder.embedding_size),
                switch=switch_model,
                keep_old=before is not None and is_at_hand(before),
            )
            if switch_model:
                writer.try_again(NO_EMBEDDING)
            if vectors is not None:
                writer.use_vectors(None if vectors == "file" else vectors)
            if can_read_raw():
                writer.try_again(RAW_WITHOUT_RAWPY)
            run_id = writer.begin_run()
            run = _Run(library, writer, encoder, on_progress, interrupt, max_megapixels, load_files)
            work = [run.look_at(folder, rules) for folder in chosen]
            run.carry_out(work)
            if not interrupt.requested:
                run.report.failed += read_text_files(library, writer, [path for path in folders if is_text_file(path)])
                run.report.texts = encode_texts(writer, encoder, on_progress, lambda: interrupt.requested)
            if interrupt.requested:
                raise Interrupted(
                    f"indexing was stopped; {run.report.encoded:,} photos were encoded and are kept",
                    "Continue with: pixsearch index",
                )
            # Only now, so that a photo that moved has found its content again.
            writer.drop_unused_contents()
            writer.finish_switch(chosen)
            writer.end_run(run_id, {name: getattr(run.report, name) for name in _IN_RUNS})
        run.report.switch = library.switch()
        if read_pictures is not None:
            steps = read_writing(library, encoder, run.report, chosen, on_progress, max_megapixels, read_pictures)
            _read(steps, run.report, interrupt)
    return run.report


def _read(steps: Generator[None], report: IndexReport, interrupt: Interruption) -> None:
    """Read what is written in pictures. Raises Interrupted before all are read."""
    with closing(steps):
        for _ in steps:
            if interrupt.requested:
                break
    if interrupt.requested and report.unread:
        raise Interrupted(
            f"reading text was stopped; all photos are indexed, and {report.read:,} of {report.read + report.unread:,} "
            "pictures were read and are kept",
            "Continue with: pixsearch index",
        )


class _FolderWork(NamedTuple):
    """What a first scan says is to be done in a folder. The second one does it, so that no list need be kept."""

    root_id: int
    scan: Scan
    changed: int
    gone: int


@dataclass(slots=True)
class _Batch:
    """What goes into one transaction: files, and by digest the new pictures among them."""

    files: list[IndexedFile] = field(default_factory=list)
    pictures: dict[bytes, DecodedPicture] = field(default_factory=dict)
    contents: dict[bytes, NewContent] = field(default_factory=dict)
    """Those that came encoded."""
    thumbnails: dict[bytes, bytes] = field(default_factory=dict)
    failures: list[FailedFile] = field(default_factory=list)
    begun_at: float = field(default_factory=time.monotonic)

    def is_full(self) -> bool:
        return (
            len(self.pictures) >= ENCODE_AT_ONCE
            or len(self.files) + len(self.failures) >= STORE_AT_ONCE
            or time.monotonic() - self.begun_at >= STORE_EVERY_S
        )


class _Run:
    """One run, folder by folder; `report` grows with what is committed."""

    def __init__(
        self,
        library: Library,
        writer: LibraryWriter,
        encoder: Encoder,
        on_progress: ProgressCallback,
        interrupt: Interruption,
        max_megapixels: int,
        load_files: LoadFiles,
    ) -> None:
        self.report = IndexReport()
        self._library = library
        self._writer = writer
        self._encoder = encoder
        self._on_progress = on_progress
        self._interrupt = interrupt
        self._max_megapixels = max_megapixels
        self._load_files = load_files
        self._thumbnails: ThumbnailCache | None = None
        self._pace = Pace()

    def look_at(self, folder: bytes, new_rules: Callable[[ScanRules], ScanRules]) -> _FolderWork:
        """Scan a folder and count what changed since the library last saw it."""
        root_id, root = self._writer.root_of(folder)
        rules = new_rules(self._library.roots()[root])
        scan, before = Scan(folder, root, rules), self.report.found
        counts, changed, gone, kept = survey_folder(
            self._library,
            scan,
            lambda found: self._on_progress(Progress("scanning", before + found)),
            lambda: self._interrupt.requested,
        )
        if self._interrupt.requested:
            return _FolderWork(root_id, scan, 0, 0)
        self._writer.set_rules(root_id, rules)
        self._writer.mark_root(folder, online=not kept and folder not in scan.unlisted)
        if kept:
            self.report.offline += (to_path(folder),)
            self.report.kept += kept
            return _FolderWork(root_id, scan, 0, 0)
        self.report.found += counts.found
        self.report.unchanged += counts.unchanged
        self.report.failed += counts.failed
        add_counts(self.report.not_read, counts.not_read)
        if folder == root:
            self._writer.set_not_read(root_id, counts.not_read)
        self._store(root_id, _Batch(failures=[FailedFile(path, None, why) for path, why in scan.unlisted.items()]))
        return _FolderWork(root_id, scan, changed, gone)

    def carry_out(self, work: Sequence[_FolderWork]) -> None:
        """Load, encode and commit all files that changed, and forget those that are gone."""
        done, total = 0, sum(folder.changed for folder in work)
        if total:
            self._on_progress(Progress("indexing", 0, total))
            most = self._library.count_contents() + total
            self._thumbnails = thumbnails_of_user(self._library.name, lambda: most)
        for folder in work:
            if not (folder.changed or folder.gone):
                continue
            batch = _Batch()
            for loaded in self._load(folder):
                done += 1
                self._add(loaded, batch)
                if batch.is_full() or self._interrupt.requested:
                    self._store(folder.root_id, batch)
                    batch = _Batch()
                    self._on_progress(Progress("indexing", done, total, self._note(done)))
                if self._interrupt.requested:
                    break
            self._store(folder.root_id, batch)
            self._on_progress(Progress("indexing", done, total, self._note(done)))

    def _load(self, folder: _FolderWork) -> Iterator[Loaded]:
        """The changed files of a folder, read, and decoded if their contents are new; until somebody wants to stop."""
        if not folder.changed:
            for _ in self._changed(folder.scan):
                pass
            return
        # Not at the top: Pillow, numpy and the processes are for runs that have something to decode.
        from pixsearch.decoding import DecodeLimits

        limits = DecodeLimits(self._max_megapixels)
        yield from self._load_files(self._changed(folder.scan), limits, self._encoder)

    def _changed(self, scan: Scan) -> Iterator[ToLoad]:
        """Scan again for what there is to load; what is gone is forgotten on the way."""
        from pixsearch_indexer.decoders import ToLoad  # as above

        counts, gone = Counts(), list[bytes]()
        for steps in in_chunks(changes(self._library, scan, counts), STORE_AT_ONCE):
            gone += [step.path for step in steps if isinstance(step, Gone)]
            self._forget(gone, counts)
            digests = self._writer.digests_of([step.path for step in steps if isinstance(step, Outdated)])
            changed = [step for step in steps if not isinstance(step, Gone)]
            encoded = self._writer.encoded_of_sizes({step.stamp.size_bytes for step in changed})
            for step in changed:
                if self._interrupt.requested:
                    return
                sidecars = sidecars_of_stamp(step.path, step.sidecars)
                of_size = encoded.get(step.stamp.size_bytes, frozenset())
                digest = digests.get(step.path)
                yield ToLoad(step.path, step.stamp, of_size, sidecars, digest if digest in of_size else None)
        self._forget(gone, counts)

    def _forget(self, gone: list[bytes], counts: Counts) -> None:
        """Forget what is gone, and empty the list; not before a file was found: the folder may just be unplugged."""
        if gone and counts.found:
            self.report.forgotten += self._writer.forget(gone)
            gone.clear()

    def _add(self, loaded: Loaded, batch: _Batch) -> None:
        if isinstance(loaded, FailedFile):
            batch.failures.append(loaded)
        elif loaded is not None:
            batch.files.append(
                IndexedFile(loaded.path, loaded.stamp, loaded.digest, loaded.sidecars, loaded.beside, loaded.metadata)
            )
            if loaded.decoded is not None:
                batch.pictures[loaded.digest] = loaded.decoded
            if loaded.content is not None:
                batch.contents[loaded.digest] = loaded.content
            if loaded.thumbnail is not None:
                batch.thumbnails[loaded.digest] = loaded.thumbnail

    def _store(self, root_id: int, batch: _Batch) -> None:
        """Encode the pictures of a batch and commit it."""
        # A copy may have been decoded before the one that it is a copy of was committed.
        for digest in self._writer.encoded_among([*batch.pictures, *batch.contents]):
            batch.pictures.pop(digest, None)
            batch.contents.pop(digest, None)
        contents = encode_pictures(self._encoder, batch.pictures) | batch.contents
        spoilt = {digest for digest, content in contents.items() if content is None}
        files = [file for file in batch.files if file.digest not in spoilt]
        failures = batch.failures + [
            FailedFile(file.path, file.stamp, NO_EMBEDDING) for file in batch.files if file.digest in spoilt
        ]
        new = [content for content in contents.values() if content is not None]
        refused = self._writer.store(root_id, new, files, failures)
        for content in new:
            if self._thumbnails is not None and content.digest in batch.thumbnails:
                self._thumbnails.put(content.digest, SMALL, batch.thumbnails[content.digest])
        described = sum(file.metadata is not None for file in files)
        self.report.encoded += len(new)
        self.report.described += described
        self.report.reused += len(files) - len(new) - described - refused
        self.report.failed += len(failures) + refused

    def _note(self, done: int) -> str:
        """How it goes."""
        parts = self._pace.note(done)
        if self.report.failed:
            parts.append(f"{self.report.failed:,} failed")
        return ", ".join(parts)
