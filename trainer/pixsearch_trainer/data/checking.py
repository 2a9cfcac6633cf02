"""Are the pictures of a data set sound, and are its problems few enough to go on?"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from accelerate import Accelerator

from pixsearch.errors import DatasetError, PixsearchError
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.storage import FilePath
from pixsearch_trainer.data.decoding import find_faults, leave_interrupts_to_parent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.reading import Reading
from pixsearch_trainer.optimisation.accelerator import on_each_process

_PICTURES_A_TASK = 32
_NAMED_PROBLEMS = 3
_ALWAYS_ALLOWED = 10


def check_pictures(pictures: Sequence[CaptionedPicture], workers: int, on_progress: ProgressCallback) -> Reading:
    """Decode each picture once: those that are sound, in their order, and a problem for each other.

    A picture at which the decoder crashes its process, or is killed for the memory that it takes, is such a problem
    too, unless `workers` is 0. A decoder that never comes to an end is not noticed.

    Args:
        workers: processes that decode; 0 decodes in this one.

    Raises:
        PixsearchError: worker processes cannot be started.
    """
    sound: list[CaptionedPicture] = []
    problems: list[Problem] = []
    files = [picture.file for picture in pictures]
    tasks = [files[start : start + _PICTURES_A_TASK] for start in range(0, len(files), _PICTURES_A_TASK)]
    done = 0
    for faults in _in_workers(tasks, workers) if workers else map(find_faults, tasks):
        for picture, fault in zip(pictures[done : done + len(faults)], faults, strict=True):
            if fault is None:
                sound.append(picture)
            else:
                problems.append(Problem(picture.file, None, fault))
        done += len(faults)
        on_progress(Progress("Checking pictures", done, len(pictures)))
    return Reading(sound, problems)


def check_together(
    accelerator: Accelerator, pictures: Sequence[CaptionedPicture], workers: int, on_progress: ProgressCallback
) -> list[Problem]:
    """The problems of `check_pictures`, the same in every process; each decodes its share of the pictures."""
    rank, processes = accelerator.process_index, accelerator.num_processes
    shares = on_each_process(lambda: check_pictures(pictures[rank::processes], workers, on_progress).problems)
    return [problem for share in shares for problem in share]


def enforce_limit(problems: Sequence[Problem], limit: int | None, pictures: int) -> None:
    """Raise DatasetError, naming the first few, where there are more problems than the limit.

    Args:
        limit: None is a hundredth of the pictures, and at least 10.
    """
    if limit is None:
        limit = max(_ALWAYS_ALLOWED, pictures // 100)
    if len(problems) <= limit:
        return
    named = ", ".join(str(problem) for problem in problems[:_NAMED_PROBLEMS])
    more = ", .." if len(problems) > _NAMED_PROBLEMS else ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    raise DatasetError(
        f"{count} in the data, more than the {limit:,} allowed: {named}{more}", "Mend them or allow more with --max-bad"
    )


def _in_workers(tasks: Sequence[list[FilePath]], workers: int) -> Iterator[list[str | None]]:
    """What `find_faults` says of each task, in their order."""
    waiting = deque(tasks)
    while waiting:
        running: deque[tuple[list[FilePath], Future[list[str | None]]]] = deque()
        pool = _start(workers)
        try:
            while waiting or running:
                while waiting and len(running) < 2 * workers:
                    running.append((waiting[0], pool.submit(find_faults, waiting[0])))
                    waiting.popleft()
                faults = running[0][1].result()
                running.popleft()
                yield faults
        except BrokenProcessPool:  # one of those that run, nobody can say which
            _make_sure_that_workers_start()
            for task, _ in running:
                yield _one_by_one(task)
        finally:
            pool.shutdown(cancel_futures=True)


def _one_by_one(files: list[FilePath]) -> list[str | None]:
    """As `find_faults`, in a process that may die: then its halves, each in another, down to the picture at fault."""
    try:
        with _start(1) as pool:
            return pool.submit(find_faults, files).result()
    except BrokenProcessPool:
        if len(files) == 1:
            return ["crashes its decoder, or takes too much memory"]
        half = len(files) // 2
        return _one_by_one(files[:half]) + _one_by_one(files[half:])


def _make_sure_that_workers_start() -> None:
    try:
        with _start(1) as pool:
            pool.submit(find_faults, []).result()
    except BrokenProcessPool as error:
        raise PixsearchError("worker processes cannot be started here", "Try --workers 0") from error


def _start(workers: int) -> ProcessPoolExecutor:
    # Spawned: a fork of a process in which torch has threads may hang.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), leave_interrupts_to_parent)
