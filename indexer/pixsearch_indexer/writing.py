"""Read what is written in the pictures of folders that want it (`--ocr`): after all else, the newest first.

If there are many, pictures that look like documents are read before the others.
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
"""Pictures with what is written in them; None now and then, while the next one is not done."""
ReadPictures = Callable[[Iterable[StoredPicture], int], ReadSteps]
"""Reads pictures of at most so many megapixels, in their order."""

MANY = 1000
"""Pictures that take minutes, and are looked at for which to read first."""
DOCUMENTS = "sign, text, document, screenshot, label"
"""Pictures with 40 letters and more are nearer to this than others in 99 of 100 pairs (docs/experiments.md)."""
STORE_EVERY_S = 2.0
_PAUSE_S = 0.5
_SECONDS = 300.0
"""For one picture: a page of small print takes 3 s on two cores."""
_TASKS_EACH = 200
"""A process keeps what OpenVINO has made for each size of a line: after some hundreds that is a gigabyte."""
_AHEAD_EACH = 16
"""Pictures for each process to go on with while somebody else has the library."""
_LOOKED_UP = 100


def read_here(pictures: Iterable[StoredPicture], megapixels: int) -> ReadSteps:
    """Read pictures in worker processes of this machine."""
    from pixsearch.decoding import DecodeLimits, DecodingPool, TaskFailure, decoding_processes
    from pixsearch_indexer.ocr import NotRead, processes, read_photo  # numpy, Pillow: for those with something to read

    limits, count = DecodeLimits(megapixels, _SECONDS), processes()
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
                    # An object may just have been slow to arrive.
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
    """Read pictures that have not been read, of these folders or of all that want it, and store what is written there.

    What is read is committed every few seconds, and the library is free for other writers in between. It goes on as
    long as somebody iterates, who gets to do something else every second or so; `report` grows with what is stored. A
    picture that cannot be read for good, since its decoder crashes, counts as one without writing; one that is not
    there, or not as it was indexed, is left for later.

    Raises PixsearchError where RapidOCR is not what it should be; LibraryError.
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
    """Put the tenth of the pictures that look most like documents first; in either part they keep their order.

    Not while searches still go by another model than that of the encoder.
    """
    model = library.model()
    if model is None or model.fingerprint != encoder.fingerprint:
        return list(ids)
    import numpy as np  # for those with something to read

    vector = encoder.embed_texts([DOCUMENTS])[0]
    likely = set(library.nearest(vector, len(ids) // 10, among=np.sort(np.asarray(ids, np.int64))))
    return sorted(ids, key=lambda id_: id_ not in likely)


def _store(library: Library, report: IndexReport, found: dict[int, tuple[str, ...]]) -> Iterator[None]:
    """Commit what was found, and empty it; as soon as no other process writes."""
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
        # Another process may have read some meanwhile.
        yield from (found[id_] for id_ in part if id_ in found and found[id_].metadata.writing is None)
