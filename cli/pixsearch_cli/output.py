"""Output: results on stdout, everything else on stderr."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from threading import Event, Thread
from typing import Any

from typer.exceptions import TyperException

from pixsearch.errors import PixsearchError, UsageError
from pixsearch.printable import plural, printable, without_passwords
from pixsearch.progress import Pace, Progress, ProgressCallback
from pixsearch_cli.json_records import json_text

_NAMED_PROBLEMS = 5
_FIRST_LINE_S, _LINE_EVERY_S = 5.0, 60.0
_JSON_LINE_EVERY_S = 0.25


def show_message(message: str) -> None:
    """Show a line on stderr."""
    _on_stderr(f"pixsearch: {printable(without_passwords(message))}")


def show_lines(*lines: str) -> None:
    """Show lines on stderr that a user should read before answering a prompt."""
    for line in lines:
        _on_stderr(printable(line))


def confirmed(question: str) -> bool:
    """Ask a question on the terminal. Return whether the answer is yes. Raises UsageError if there is no terminal."""
    if sys.stdin is None or sys.stderr is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("cannot ask for confirmation without a terminal", "Add --yes to skip the prompt")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def in_one_line(error: Exception) -> str:
    """Return the message of an error on one line, for the user."""
    if isinstance(error, PixsearchError):
        return str(error)
    if isinstance(error, TyperException):
        return f"{error.format_message().replace('Value error, ', '').rstrip('.')}. See --help"
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return (
        f"unexpected {type(error).__name__}: {error}. Run the command again with --debug for a traceback, and please "
        "report it"
    )


def show_traceback(error: BaseException) -> None:
    """Show the traceback of an error, for `--debug`. It can be pasted into a bug report: passwords are hidden."""
    _on_stderr(without_passwords("".join(traceback.format_exception(error))).rstrip("\n"))


class LoggedLines(logging.Handler):
    """Shows the log messages of other packages on stderr, each on one line and without passwords."""

    def emit(self, record: logging.LogRecord) -> None:
        _on_stderr(printable(without_passwords(record.getMessage())))


def _on_stderr(text: str) -> None:
    if sys.stderr is not None:  # if the parent process closed it, print would write to stdout
        print(text, file=sys.stderr, flush=True)


def warn_of_damage(damage: Sized) -> None:
    """Show how many damaged rows in the library were skipped, if any."""
    if count := len(damage):
        show_message(f"skipped {plural(count, 'damaged row')} in the library. Run: pixsearch repair")


def warn_of_problems(problems: Sequence[object]) -> None:
    """Show the first few problems in a data set, and how many more there are."""
    for problem in problems[:_NAMED_PROBLEMS]:
        show_message(f"skipped: {problem}")
    if (more := len(problems) - _NAMED_PROBLEMS) > 0:
        show_message(f"skipped: {plural(more, 'more problem')} in the data")


def kinds(counts: Mapping[str, int]) -> str:
    """Return the number of files with each suffix, most frequent first, as in "12 .mp4, 3 .svg"."""
    most_first = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in most_first)


def print_json(record: Mapping[str, object]) -> None:
    """Print a record as one line of JSON. It is ASCII, which works with every output encoding."""
    print(json_text(record))


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", title_before: int | None = None
) -> None:
    """Print a table in which all columns but the last are aligned to the right.

    Lines are neither wrapped nor truncated, so that paths can be copied. The title is printed before the row with the
    index `title_before`.
    """
    from rich.console import Console  # takes 60 ms to import, as below
    from rich.text import Text

    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    console = Console(highlight=False)
    for number, row in enumerate([headings, *rows]):
        if title_before is not None and number == title_before + 1:
            console.print(Text(title, style="dim"), soft_wrap=True)
        aligned = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        console.print(Text("  ".join([*aligned, row[-1]]), style="" if number else "dim"), soft_wrap=True)


@contextmanager
def progress_bars() -> Iterator[ProgressCallback]:
    """Show a progress bar for each task on stderr while the context is open, or lines if stderr is not a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        with _lines() as show:
            yield show
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as ProgressBars

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with ProgressBars(*columns, console=console, transient=True) as bars:
        tasks, paces = dict[str, Any](), defaultdict[str, Pace](Pace)

        def show(progress: Progress) -> None:
            if progress.task not in tasks:
                tasks[progress.task] = bars.add_task(progress.task, total=None, note="")
            note = _note(progress, paces[progress.task])
            bars.update(tasks[progress.task], completed=progress.done, total=progress.total, note=note)

        yield show


def progress_shown(*, as_json: bool) -> AbstractContextManager[ProgressCallback]:
    """Show progress on stderr for people, or as JSON lines for programs."""
    return _json_lines() if as_json else progress_bars()


@contextmanager
def _json_lines() -> Iterator[ProgressCallback]:
    """Write the progress to stderr as lines of JSON, at most four per second while a task is running."""
    paces = defaultdict[str, Pace](Pace)
    task, written = "", 0.0

    def show(progress: Progress) -> None:
        nonlocal task, written
        note = _note(progress, paces[progress.task])
        now = time.monotonic()
        if progress.task != task or progress.done == progress.total or now - written >= _JSON_LINE_EVERY_S:
            task, written = progress.task, now
            _on_stderr(json_text({**asdict(progress), "note": note}))

    yield show


@contextmanager
def _lines() -> Iterator[ProgressCallback]:
    """Show a line on stderr after a few seconds, and then one per minute until the work ends."""
    latest: tuple[Progress, str] | None = None
    paces = defaultdict[str, Pace](Pace)
    began, ended = time.monotonic(), Event()

    def show(progress: Progress) -> None:
        nonlocal latest
        latest = progress, _note(progress, paces[progress.task])

    def tell() -> None:
        wait_s = _FIRST_LINE_S
        while not ended.wait(wait_s):
            wait_s = _LINE_EVERY_S
            passed = _duration(time.monotonic() - began)
            if latest is None:
                show_message(f"{passed}: starting")
                continue
            progress, note = latest
            total = "" if progress.total is None else f" of {progress.total:,}"
            show_message(f"{passed}: {progress.task} {progress.done:,}{total} {note}".rstrip())

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield show
    finally:
        ended.set()
        thread.join()


def _note(progress: Progress, pace: Pace) -> str:
    """Return the note of a step, with an estimate of the time left if there is one."""
    parts = [progress.note] if progress.note else []
    rate = pace.per_second(progress.done)
    if rate is not None and progress.total is not None and progress.done < progress.total:
        parts.append(f"about {_duration((progress.total - progress.done) / rate)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
