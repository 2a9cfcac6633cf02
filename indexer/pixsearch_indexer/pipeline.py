"""Index photos: scan folders, find changes, decode ahead of the encoder, encode and commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
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
from pixsearch.picture_files import RAW_WITHOUT_RAWPY, can_read_raw
from pixsearch.printable import plural
from pixsearch.progress import Pace, Progress, ProgressCallback, silent
from pixsearch.search.runtime import Encoder
from pixsearch.storage import FilePath, is_remote, to_path
from pixsearch.vectors.faiss_package import require_faiss
from pixsearch_indexer.changes import Counts, Gone, Outdated
from pixsearch_indexer.encoder import NO_EMBEDDING, CheckpointEncoder, encode_pictures
from pixsearch_indexer.ignoring import check_patterns
from pixsearch_indexer.metadata.sidecars import sidecars_of_stamp
from pixsearch_indexer.options import IndexOptions
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
"""A function that reads files for an encoder, within decoding limits."""

ENCODE_AT_ONCE = 32
STORE_AT_ONCE = 500
"""The maximum number of files in a commit. It matters if few files need encoding, or all arrive encoded."""
STORE_EVERY_S = 2.0
_RECORDED = ("found", "unchanged", "encoded", "reused", "forgotten", "failed")
"""The report fields that are recorded in the library."""
_DEFAULTS = IndexOptions()


def load_here(files: Iterable[ToLoad], limits: DecodeLimits, encoder: Encoder) -> Iterator[Loaded]:
    """Read and decode the files of a folder in worker processes on this machine, without encoding them."""
    # Imported here because only runs with something to decode need Pillow, numpy and worker processes.
    from pixsearch.decoding import FOR_OBJECTS
    from pixsearch_indexer.decoders import load_ahead, loading_pool

    files = iter(files)
    if (first := next(files, None)) is None:
        return
    with loading_pool(limits, FOR_OBJECTS if is_remote(first.path) else 1) as pool:
        yield from load_ahead(pool, _preparing(encoder, chain([first], files)), encoder.input_shape)


def _preparing(encoder: Encoder, files: Iterator[ToLoad]) -> Iterator[ToLoad]:
    """Yield the files, and start to prepare the encoder at the first file that is certain to be decoded."""
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
    """Bring the library up to date with a folder. See `index_folders` for details and errors.

    `model` is the name or folder of the model to use. The default is the library's model, or the built-in model for a
    new library. Also raises ModelNotFound.
    """
    encoder = CheckpointEncoder(library.checkpoint(model, to_index=True))
    return index_folders(library, encoder, [folder], on_progress)


def index_folders(
    library: Library,
    encoder: Encoder,
    folders: Sequence[FilePath],
    on_progress: ProgressCallback = silent,
    *,
    options: IndexOptions = _DEFAULTS,
    load_files: LoadFiles = load_here,
    read_pictures: ReadPictures | None = read_here,
) -> IndexReport:
    """Bring the library up to date with these folders, or with all indexed folders if none are given.

    `folders` may also contain .txt files with one text per line, which can be found by searching with a photo.

    Photos are never modified. Results are committed every few seconds, so an interrupted run continues where it stopped
    when it is started again. A bad file never stops a run: `Library.failures` lists it with the reason, and it is tried
    again when it changes. Files are decoded in child processes, so scripts must call this function under
    `if __name__ == "__main__"`.

    Args:
        load_files: the function that reads and decodes files, and may also encode them. The default uses processes on
            this machine; `pixsearch_indexer.on_ray` uses many machines.
        read_pictures: the function that reads the text in pictures after everything else is done, in folders with OCR
            turned on. The default does nothing unless RapidOCR is installed. None leaves the text to a later run.

    Raises:
        UsageError: a folder does not exist and was never indexed, or `options.exclude` contains an invalid pattern.
        PixsearchError: the storage of a folder cannot be reached, FAISS is not installed, or `options.ocr` is true and
            RapidOCR is not installed.
        ModelMismatch: the library contains features from a different model.
        Interrupted: the run was stopped by Ctrl-C or SIGTERM; everything committed is kept.
        LibraryBusy, LibraryError: see `Library.writing`.
    """
    require_faiss()  # now, rather than after hours of work
    if options.ocr and read_pictures is read_here:
        require("reading text in pictures", *OCR)
    check_patterns(options.exclude or ())
    with interruption() as interrupt:
        with library.writing() as writer:
            chosen = chosen_folders(folders, library)
            before = library.model() if options.switch_model else None
            writer.use_model(
                LibraryModel(encoder.fingerprint, encoder.name, encoder.embedding_size),
                switch=options.switch_model,
                keep_old=before is not None and is_at_hand(before),
            )
            if options.switch_model:
                writer.try_again(NO_EMBEDDING)
            if options.vectors is not None:
                writer.use_vectors(None if options.vectors == "file" else options.vectors)
            if can_read_raw():
                writer.try_again(RAW_WITHOUT_RAWPY)
            run_id = writer.begin_run()
            run = _Run(library, writer, encoder, on_progress, interrupt, options.max_megapixels, load_files)
            work = [run.survey(folder, options.changed_rules) for folder in chosen]
            run.carry_out(work)
            if not interrupt.requested:
                run.report.failed += read_text_files(library, writer, [path for path in folders if is_text_file(path)])
                run.report.texts = encode_texts(writer, encoder, on_progress, lambda: interrupt.requested)
            if interrupt.requested:
                raise Interrupted(
                    f"indexing stopped; {plural(run.report.encoded, 'encoded photo')} kept",
                    "Resume with: pixsearch index",
                )
            # Only now, after moved photos have been matched with their contents.
            writer.drop_unused_contents()
            writer.finish_switch(chosen)
            writer.end_run(run_id, {name: getattr(run.report, name) for name in _RECORDED})
        run.report.switch = library.switch()
        if read_pictures is not None:
            steps = read_writing(
                library, encoder, run.report, chosen, on_progress, options.max_megapixels, read_pictures
            )
            _read(steps, run.report, interrupt)
    return run.report


def _read(steps: Generator[None], report: IndexReport, interrupt: Interruption) -> None:
    """Read the text in pictures. Raises Interrupted if the run is stopped before all pictures are read."""
    with closing(steps):
        for _ in steps:
            if interrupt.requested:
                break
    if interrupt.requested and report.unread:
        raise Interrupted(
            f"stopped reading text; all photos are indexed, and the text from {report.read:,} of "
            f"{plural(report.read + report.unread, 'picture')} is saved",
            "Resume with: pixsearch index",
        )


class _FolderWork(NamedTuple):
    """The work that a first scan found in a folder. A second scan carries it out, so no list of files is kept."""

    root_id: int
    scan: Scan
    changed: int
    gone: int


@dataclass(slots=True)
class _Batch:
    """The contents of one transaction: files, and the new pictures among them, keyed by digest."""

    files: list[IndexedFile] = field(default_factory=list)
    pictures: dict[bytes, DecodedPicture] = field(default_factory=dict)
    contents: dict[bytes, NewContent] = field(default_factory=dict)
    """The pictures that were already encoded on arrival, by digest."""
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
    """An indexing run, which processes one folder after another. `report` is updated with each commit."""

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

    def survey(self, folder: bytes, new_rules: Callable[[ScanRules], ScanRules]) -> _FolderWork:
        """Scan a folder and count the changes since it was last indexed."""
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
        """Load, encode and commit all changed files, and forget the deleted ones."""
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
        """Yield a folder's changed files, decoded if their content is new, until the run is interrupted."""
        if not folder.changed:
            for _ in self._changed(folder.scan):
                pass
            return
        from pixsearch.decoding import DecodeLimits  # see `load_here`

        limits = DecodeLimits(self._max_megapixels)
        yield from self._load_files(self._changed(folder.scan), limits, self._encoder)

    def _changed(self, scan: Scan) -> Iterator[ToLoad]:
        """Scan the folder again, yield the files to load, and forget the deleted ones."""
        from pixsearch_indexer.decoders import ToLoad  # see `load_here`

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
        """Forget deleted files and clear the list. Keep them if no files were found: the drive may be unplugged."""
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
        """Encode the pictures in a batch and commit the batch."""
        # A copy may have been decoded before its original was committed.
        for digest in self._writer.encoded_among([*batch.pictures, *batch.contents]):
            batch.pictures.pop(digest, None)
            batch.contents.pop(digest, None)
        contents = encode_pictures(self._encoder, batch.pictures) | batch.contents
        unusable = {digest for digest, content in contents.items() if content is None}
        files = [file for file in batch.files if file.digest not in unusable]
        failures = batch.failures + [
            FailedFile(file.path, file.stamp, NO_EMBEDDING) for file in batch.files if file.digest in unusable
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
        """Return a progress note with the pace and the number of failures."""
        parts = self._pace.note(done)
        if self.report.failed:
            parts.append(f"{self.report.failed:,} failed")
        return ", ".join(parts)
