"""Read the text in pictures, in folders with OCR turned on (`--ocr`).

Text is read after everything else is indexed, newest pictures first. If there are many pictures, those that look like
documents are read before the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import tee
from typing import TYPE_CHECKING, TypeAlias

from pixsearch.database.database import in_chunks
from pixsearch.errors import LibraryBusy
from pixsearch.extras import OCR, missing
from pixsearch.library.library import Library
from pixsearch.library.records import StoredPicture
from pixsearch.picture_files import MEGAPIXEL_LIMIT
from pixsearch.progress import Pace, Progress, ProgressCallback, silent
from pixsearch.search.runtime import Encoder
from pixsearch.storage import is_remote, path_bytes
from pixsearch_indexer.report import IndexReport

if TYPE_CHECKING:
    from pixsearch_indexer.ocr import Writing

ReadSteps: TypeAlias = "Generator[tuple[StoredPicture, Writing] | None]"
"""A generator of pictures with their text. It yields None at intervals while the next picture is not ready."""
ReadPictures = Callable[[Iterable[StoredPicture], int], ReadSteps]
"""A function that reads the text in pictures, in order. Its second argument is their maximum size in megapixels."""

MANY = 1000
"""The minimum number of pictures for which documents are read first. Reading this many takes minutes."""
DOCUMENTS = "sign, text, document, screenshot, label"
"""A query that finds documents. In 99 of 100 pairs, it is nearer to a picture with 40 or more letters than to a picture
with fewer (docs/experiments.md)."""
STORE_EVERY_S = 2.0
_PAUSE_S = 0.5
_TIMEOUT_S = 300.0
"""The time limit for a picture. A page of small print takes 3 s on two cores."""
_TASKS_EACH = 200
"""The number of tasks after which a process is replaced. OpenVINO caches data for each line size, which adds up to a
gigabyte after a few hundred pictures."""
_AHEAD_EACH = 16
"""The number of pictures that each process reads ahead while another process is writing to the library."""
_LOOKED_UP = 100


def read_here(pictures: Iterable[StoredPicture], megapixels: int) -> ReadSteps:
    """Read the text in pictures in worker processes on this machine."""
    from pixsearch.decoding import DecodeLimits, DecodingPool, TaskFailure, decoding_processes
    from pixsearch_indexer.ocr import NotRead, processes, read_photo  # loads numpy and Pillow

    limits, count = DecodeLimits(megapixels, _TIMEOUT_S), processes()
    pictures, to_read = tee(pictures)
    tasks = ((picture.photos, picture.digest, megapixels) for picture in to_read)
    with decoding_processes(limits, count=count, tasks_each=_TASKS_EACH) as workers:
        pool = DecodingPool(workers, limits, _AHEAD_EACH * count)
        with closing(pool.map_or_pause(read_photo, tasks, _PAUSE_S)) as results:
            for result in results:
                if result is None:
                    yield None
                    continue
                picture = next(pictures)
                if isinstance(result, TaskFailure):
                    # An object may just have been slow to download.
                    is_slow = result.timed_out and any(is_remote(path_bytes(photo.path)) for photo in picture.photos)
                    result = NotRead(result.reason, for_good=not is_slow)
                yield picture, result


def read_writing(
    library: Library,
    encoder: Encoder,
    report: IndexReport,
    folders: Sequence[bytes] | None = None,
    on_progress: ProgressCallback = silent,
    megapixels: int = MEGAPIXEL_LIMIT,
    read: ReadPictures = read_here,
) -> Generator[None]:
    """Read and store the text in pictures that have not been read yet.

    Only folders with OCR turned on are considered: those in `folders`, or all if it is None. The generator reads while
    the caller iterates over it, and yields about once a second. Results are committed every few seconds, and `report`
    is updated with each commit. Other processes can write to the library in between. A picture that can never be read,
    such as one that crashes its decoder, is stored as having no text. A picture that is missing or has changed is left
    for later.

    Raises LibraryError, or PixsearchError if the RapidOCR installation is incomplete.
    """
    ids = library.unread(folders)
    report.unread = len(ids)
    if not ids or (read is read_here and missing(*OCR[1:])):
        return
    done, pace, stored_at = 0, Pace(), time.monotonic()
    found: dict[int, tuple[str, ...]] = {}
    on_progress(Progress("reading text", 0, len(ids)))
    if len(ids) >= MANY:
        ids = _documents_first(library, encoder, ids)
    with closing(read(_pictures(library, ids), megapixels)) as results:
        try:
            for result in results:
                if result is not None:
                    picture, writing = result
                    done += 1
                    if isinstance(writing, tuple):
                        found[picture.content_id] = writing
                    elif writing.for_good:
                        found[picture.content_id] = ()
                        report.unreadable += (f"{picture.photos[0].path}: {writing.reason}",)
                    on_progress(Progress("reading text", done, len(ids), ", ".join(pace.note(done))))
                if time.monotonic() - stored_at >= STORE_EVERY_S:
                    yield from _store(library, report, found)
                    stored_at = time.monotonic()
                yield
        except GeneratorExit:
            next(_store(library, report, found), None)
            raise
    yield from _store(library, report, found)


def _documents_first(library: Library, encoder: Encoder, ids: Sequence[int]) -> list[int]:
    """Move a tenth of the pictures to the front: those that look most like documents. Both parts keep their order.

    The order does not change while searches still use a different model than the encoder.
    """
    model = library.model()
    if model is None or model.fingerprint != encoder.fingerprint:
        return list(ids)
    import numpy as np  # only needed if there is something to read

    vector = encoder.embed_texts([DOCUMENTS])[0]
    likely = set(library.nearest(vector, len(ids) // 10, among=np.sort(np.asarray(ids, np.int64))))
    return sorted(ids, key=lambda id_: id_ not in likely)


def _store(library: Library, report: IndexReport, found: dict[int, tuple[str, ...]]) -> Iterator[None]:
    """Commit the text in `found`, and clear `found`. Yield while another process is writing to the library."""
    while found:
        try:
            with library.writing() as writer:
                writer.store_writing(found)
            report.read += len(found)
            report.unread -= len(found)
            found.clear()
        except LibraryBusy:
            yield


def _pictures(library: Library, ids: Sequence[int]) -> Iterator[StoredPicture]:
    for part in in_chunks(iter(ids), _LOOKED_UP):
        found = library.pictures(part)
        # Another process may have read some of them in the meantime.
        yield from (found[id_] for id_ in part if id_ in found and found[id_].metadata.writing is None)
