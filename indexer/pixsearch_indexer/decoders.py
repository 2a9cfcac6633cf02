"""Load files ahead of the encoder, in worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import tee

from pixsearch.decoding import DecodeLimits, DecodingPool, TaskFailure, decoding_pool
from pixsearch.library.records import FailedFile
from pixsearch.storage import FileStamp, is_remote
from pixsearch_indexer.load import LoadedFile, load_file


@dataclass(frozen=True, slots=True)
class ToLoad:
    """A file to read."""

    path: bytes
    stamp: FileStamp
    encoded: frozenset[bytes] = frozenset()
    """The digests of the encoded contents of its size: the file is decoded only if its own is not among them."""


Loaded = LoadedFile | FailedFile | None


def loading_pool(limits: DecodeLimits, each_core: int = 1) -> AbstractContextManager[DecodingPool]:
    """Open a decoding pool for `load_ahead`, with what that needs already imported."""
    return decoding_pool(limits, each_core, preload=[__name__])


def load_ahead(pool: DecodingPool, files: Iterable[ToLoad], min_edge: int) -> Iterator[Loaded]:
    """Yield what `load_file` returns for each file, in order. Only some of the results are held at a time."""

    def arguments(file: ToLoad, *, decode: bool) -> tuple[bytes, FileStamp, bool, int, int]:
        return file.path, file.stamp, decode, min_edge, pool.limits.megapixels

    files, again = tee(files)
    tasks = (arguments(file, decode=not file.encoded) for file in again)
    for file, loaded in zip(files, pool.map_ahead(load_file, tasks), strict=True):
        if isinstance(loaded, LoadedFile) and loaded.decoded is None and loaded.digest not in file.encoded:
            loaded = pool.run(load_file, *arguments(file, decode=True))
        if isinstance(loaded, TaskFailure):
            # Without its stamp, a file is tried again: an object may just have been slow to arrive.
            stamp = None if loaded.timed_out and is_remote(file.path) else file.stamp
            loaded = FailedFile(file.path, stamp, loaded.reason)
        yield loaded
