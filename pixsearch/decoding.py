"""Decode pictures in worker processes, so that a bad file cannot crash, hang or bloat the program itself."""

from __future__ import annotations

import os
import resource
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from pebble import ProcessExpired, ProcessFuture, ProcessPool
from PIL import Image

from pixsearch.errors import PictureError, PixsearchError
from pixsearch.fork_server import fork_server
from pixsearch.picture_files import MEGAPIXEL_LIMIT
from pixsearch.pictures import open_picture
from pixsearch.storage import FilePath

AHEAD = 32
"""The minimum number of tasks started ahead of time. Large pools start two per process instead."""

FOR_OBJECTS = 4
"""The number of worker processes per core for object storage, where they mostly wait for data (docs/scaling.md)."""

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """The limits for decoding a single file. A file that exceeds any of them is reported as a failure."""

    megapixels: int = MEGAPIXEL_LIMIT
    seconds: float = 60.0
    memory_bytes: int = 6 << 30
    """The limit on a worker's address space. A 16-bit picture with 300 megapixels needs most of it."""


USUAL_LIMITS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A failed task, with a one-line reason."""

    reason: str
    timed_out: bool = False


class DecodingPool:
    """A pool of worker processes that run tasks within limits. Use `decoding_pool` to create one."""

    def __init__(self, processes: ProcessPool, limits: DecodeLimits, ahead: int) -> None:
        self.limits = limits
        self._processes = processes
        self._ahead = ahead

    def map_ahead(
        self, function: Callable[[*Arguments], Result], tasks: Iterable[tuple[*Arguments]]
    ) -> Iterator[Result | TaskFailure]:
        """Yield `function(*arguments)` for each task in order, running some tasks ahead of time.

        Yield a TaskFailure for a task that crashes its process or runs out of time or memory. Any other exception is
        raised here. Workers import the module that defines `function`; its arguments and results are pickled.

        Raises PixsearchError if worker processes cannot be started.
        """
        for future in self._started(function, tasks):
            result = self._result(future)
            yield result

    def map_or_pause(
        self, function: Callable[[*Arguments], Result], tasks: Iterable[tuple[*Arguments]], pause_s: float
    ) -> Generator[Result | TaskFailure | None]:
        """Yield the same results as `map_ahead`, and None whenever `pause_s` seconds pass without a result."""
        for future in self._started(function, tasks):
            while not wait([future], pause_s).done:
                yield None
            result = self._result(future)
            yield result

    def _started(
        self, function: Callable[[*Arguments], Result], tasks: Iterable[tuple[*Arguments]]
    ) -> Iterator[ProcessFuture[Result]]:
        """Yield the future of each task in order, starting later tasks ahead of time."""
        running: deque[ProcessFuture[Result]] = deque()
        for arguments in tasks:
            running.append(self._start(function, *arguments))
            if len(running) >= self._ahead:
                yield running.popleft()
        while running:
            yield running.popleft()

    def run(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result | TaskFailure:
        """Run a single task and return its result, as `map_ahead` would yield it."""
        return self._result(self._start(function, *arguments))

    def _start(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> ProcessFuture[Result]:
        try:
            return self._processes.schedule(function, arguments, timeout=self.limits.seconds)
        except RuntimeError as error:  # pebble stops the pool if none of its processes can start
            raise _no_workers() from error

    def _result(self, future: ProcessFuture[Result]) -> Result | TaskFailure:
        try:
            return future.result()
        except TimeoutError:
            return TaskFailure(f"not decoded within {self.limits.seconds:g} s", timed_out=True)
        except ProcessExpired as error:
            return TaskFailure(f"its decoder crashed (exit code {error.exitcode})")
        except MemoryError:
            return TaskFailure("takes more memory to decode than a photo should")
        except BrokenProcessPool as error:
            raise _no_workers() from error


def _no_workers() -> PixsearchError:
    script = getattr(sys.modules.get("__main__"), "__file__", None) or "your script"
    return PixsearchError(
        "cannot start the decoding processes",
        f'If the worker processes run {script} again, put its main code under: if __name__ == "__main__":',
    )


def decode_pictures(
    files: Iterable[FilePath], min_edge: int | None, limits: DecodeLimits = USUAL_LIMITS
) -> Iterator[Image.Image | str]:
    """Yield the decoded picture from each file in order, as returned by `open_picture`.

    If a file cannot be decoded within the limits, yield a one-line reason instead.

    Raises PixsearchError if worker processes cannot be started.
    """
    files = iter(files)
    if (first := next(files, None)) is None:
        return
    with decoding_pool(limits, 1 if isinstance(first, Path) else FOR_OBJECTS) as pool:
        tasks = ((file, min_edge, limits.megapixels) for file in chain([first], files))
        for picture in pool.map_ahead(_decode, tasks):
            yield picture.reason if isinstance(picture, TaskFailure) else picture


def _decode(file: FilePath, min_edge: int | None, megapixels: int) -> Image.Image | str:
    try:
        return open_picture(file, min_edge, megapixels)
    except PictureError as error:
        return error.message


@contextmanager
def decoding_pool(
    limits: DecodeLimits = USUAL_LIMITS, each_core: int = 1, preload: Sequence[str] = ()
) -> Iterator[DecodingPool]:
    """Open a decoding pool with `each_core` worker processes per core. See `decoding_processes`."""
    with decoding_processes(limits, each_core, preload) as processes:
        yield DecodingPool(processes, limits, max(AHEAD, 2 * each_core * cores()))


@contextmanager
def decoding_processes(
    limits: DecodeLimits = USUAL_LIMITS,
    each_core: int = 1,
    preload: Sequence[str] = (),
    *,
    count: int | None = None,
    tasks_each: int = 0,
) -> Iterator[ProcessPool]:
    """Open a pebble pool of worker processes for the duration of the block.

    Unfinished tasks are abandoned if the block raises an exception. The workers enforce the limits on megapixels and
    memory. The caller must pass the time limit with each task.

    Args:
        limits: the limits for each task.
        each_core: the number of workers per core.
        preload: the modules that tasks need. The first pool in a program imports them once for all of its workers.
            In later pools, each worker imports any missing modules itself.
        count: the total number of workers, instead of `each_core`.
        tasks_each: the number of tasks after which a worker is replaced with a new one; 0 means never.
    """
    with _quiet_stderr():  # a worker that is stopped during startup prints a useless traceback
        context = fork_server([__name__, *preload])
    pool = ProcessPool(
        max_workers=each_core * cores() if count is None else count,
        max_tasks=tasks_each,
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


def cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Redirect the stderr of processes started in the block to /dev/null."""
    if sys.stderr is None:  # stderr was closed by the parent process, so descriptor 2 may be any file
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
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - libtiff and others bypass sys.stderr
        os.dup2(nowhere.fileno(), 2)


def _begin_process(limits: DecodeLimits) -> None:
    warnings.simplefilter("ignore")  # warnings about odd files; real problems are in the result
    Image.MAX_IMAGE_PIXELS = limits.megapixels * 1_000_000
    _silence()
    with suppress(ValueError, OSError):  # macOS does not support this limit
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, resource.getrlimit(resource.RLIMIT_AS)[1]))
