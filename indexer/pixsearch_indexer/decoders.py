"""Load files ahead of the encoder, in worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import tee

from pixsearch.decoding import DecodeLimits, DecodingPool, TaskFailure, decoding_pool
from pixsearch.library.records import FailedFile
from pixsearch.model.config import InputShape
from pixsearch.storage import FileStamp, is_remote
from pixsearch_indexer.load import LoadedFile, describe_file, load_file
from pixsearch_indexer.metadata.sidecars import Sidecar


@dataclass(frozen=True, slots=True)
class ToLoad:
    """A file to read."""

    path: bytes
    stamp: FileStamp
    encoded: frozenset[bytes] = frozenset()
    """The digests of encoded files of the same size. This file is decoded only if its own digest is not among them."""
    sidecars: tuple[Sidecar, ...] = ()
    described_as: bytes | None = None
    """The digest of an unchanged file, if only its metadata is to be read."""


Loaded = LoadedFile | FailedFile | None


def loading_pool(limits: DecodeLimits, each_core: int = 1) -> AbstractContextManager[DecodingPool]:
    """Open a decoding pool for `load_ahead`, with this module preloaded in its processes."""
    return decoding_pool(limits, each_core, preload=[__name__])


def load_ahead(pool: DecodingPool, files: Iterable[ToLoad], shape: InputShape) -> Iterator[Loaded]:
    """Yield the result of `load` for each file, in order, holding only a limited number of results at a time."""

    def task(file: ToLoad, *, decode: bool) -> tuple[ToLoad, bool, InputShape, int]:
        return file, decode, shape, pool.limits.megapixels

    files, again = tee(files)
    for file, loaded in zip(
        files, pool.map_ahead(load, (task(file, decode=not file.encoded) for file in again)), strict=True
    ):
        if isinstance(loaded, LoadedFile) and loaded.needs_decoding(file.encoded):
            loaded = pool.run(load, *task(file, decode=True))
        if isinstance(loaded, TaskFailure):
            if file.described_as is not None:
                yield None  # the library keeps the metadata it has
                continue
            # Without a stamp, the file is tried again: an object may just have been slow to download.
            stamp = None if loaded.timed_out and is_remote(file.path) else file.stamp
            loaded = FailedFile(file.path, stamp, loaded.reason)
        yield loaded


def load(file: ToLoad, decode: bool, shape: InputShape, megapixels: int) -> Loaded:
    """Load one file; runs in a worker process."""
    if file.described_as is not None:
        return describe_file(file.path, file.stamp, file.described_as, megapixels, file.sidecars)
    return load_file(file.path, file.stamp, decode, shape, megapixels, file.sidecars)
