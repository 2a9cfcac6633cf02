"""Processes that decode files ahead of the encoder, so that no file can take the run down with it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver

from pebble import ProcessExpired, ProcessFuture, ProcessPool
from PIL import Image

from pixsearch.library.records import FailedFile
from pixsearch.picture_files import MEGAPIXEL_LIMIT
from pixsearch.storage import FileStamp, is_remote
from pixsearch_indexer.load import LoadedFile, load_file

AHEAD = 32
"""Files that are decoded, or being decoded, before the encoder asks for them; two a process where that is more."""

FOR_OBJECTS = 4
"""Processes a core that read from object storage, where each mostly waits (docs/scaling.md)."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one file may take. More, and it is a failure."""

    megapixels: int = MEGAPIXEL_LIMIT
    seconds: float = 60.0
    memory_bytes: int = 6 << 30
    """Of the process that decodes it; a picture of 300 megapixels in 16 bits needs the most of it."""


@dataclass(frozen=True, slots=True)
class ToLoad:
    """A file to be read."""

    path: bytes
    stamp: FileStamp
    encoded: frozenset[bytes] = frozenset()
    """The digests of the encoded contents of its size: it is only decoded if it is none of them."""


Loaded = LoadedFile | FailedFile | None


class Decoders:
    """Comes from `decoders`."""

    def __init__(self, pool: ProcessPool, ahead: int, limits: DecodeLimits, min_edge: int) -> None:
        self._pool = pool
        self._ahead = ahead
        self._limits = limits
        self._min_edge = min_edge

    def load_ahead(self, files: Iterable[ToLoad]) -> Iterator[Loaded]:
        """What `load_file` makes of each, in their order. Only some of them are held at a time."""
        waiting: deque[tuple[ToLoad, ProcessFuture[Loaded]]] = deque()
        for file in files:
            waiting.append((file, self._begin(file, decode=not file.encoded)))
            if len(waiting) >= self._ahead:
                yield self._finish(*waiting.popleft())
        while waiting:
            yield self._finish(*waiting.popleft())

    def _begin(self, file: ToLoad, *, decode: bool) -> ProcessFuture[Loaded]:
        arguments = (file.path, file.stamp, decode, self._min_edge, self._limits.megapixels)
        return self._pool.schedule(load_file, arguments, timeout=self._limits.seconds)

    def _finish(self, file: ToLoad, future: ProcessFuture[Loaded]) -> Loaded:
        try:
            loaded = future.result()
            if isinstance(loaded, LoadedFile) and loaded.decoded is None and loaded.digest not in file.encoded:
                loaded = self._begin(file, decode=True).result()
            return loaded
        except TimeoutError:
            # An object may just have been slow to come, so it is tried again.
            stamp = None if is_remote(file.path) else file.stamp
            return FailedFile(file.path, stamp, f"not decoded within {self._limits.seconds:.0f} s")
        except ProcessExpired as error:
            return FailedFile(file.path, file.stamp, f"its decoder crashed (exit code {error.exitcode})")


@contextmanager
def decoders(limits: DecodeLimits, min_edge: int, each_core: int = 1) -> Iterator[Decoders]:
    """`Decoders` in processes of their own, so many for each core."""
    with decoding_processes(limits, each_core) as pool:
        yield Decoders(pool, max(AHEAD, 2 * each_core * _cores()), limits, min_edge)


@contextmanager
def decoding_processes(limits: DecodeLimits, each_core: int = 1) -> Iterator[ProcessPool]:
    """Processes for each core, gone at the end; at an error at once, whatever they are at.

    Megapixels and memory are limited there; the seconds are for whoever hands out work to say.
    """
    # Not fork: this process may have threads, torch's among them, and large memory. The server forks for it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with _quiet_stderr():  # a worker that is stopped while it starts prints a traceback that is of no use to anybody
        forkserver.ensure_running()
    pool = ProcessPool(
        max_workers=each_core * _cores(),
        initializer=_begin_process,
        initargs=(limits,),
        context=context,
    )
    try:
        yield pool
    except BaseException:
        pool.stop()
        raise
    else:
        pool.close()
    finally:
        pool.join()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """For what is started meanwhile: it has nowhere to write its messages to."""
    if sys.stderr is None:  # closed by whoever started us: 2 may be any file by now
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        _silence()
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _silence() -> None:
    if sys.stderr is None:
        return
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - libtiff and others write to stderr past Python
        os.dup2(nowhere.fileno(), 2)


def _begin_process(limits: DecodeLimits) -> None:
    warnings.simplefilter("ignore")  # of what is odd about a file; what counts is in its result
    Image.MAX_IMAGE_PIXELS = limits.megapixels * 1_000_000
    _silence()
    with suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
