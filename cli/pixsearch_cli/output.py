"""How results and messages look: results on stdout, everything else on stderr."""

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
from pixsearch.printable import printable, without_passwords
from pixsearch.progress import Pace, Progress, ProgressCallback
from pixsearch_cli.json_records import json_text

_NAMED_PROBLEMS = 5
_FIRST_LINE_S, _LINE_EVERY_S = 5.0, 60.0
_JSON_LINE_EVERY_S = 0.25


def say(message: str) -> None:
    """A line for people, on stderr."""
    _on_stderr(f"pixsearch: {printable(without_passwords(message))}")


def show_lines(*lines: str) -> None:
    """Show on stderr what a person is to read before a question."""
    for line in lines:
        _on_stderr(printable(line))


def confirmed(question: str) -> bool:
    """Return whether the person at the terminal says yes. Raises UsageError where nobody is at one."""
    if sys.stdin is None or sys.stderr is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody is at a terminal to be asked", "Add --yes to go on without a question")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def in_one_line(error: Exception) -> str:
    """Say what an error means for the user."""
    if isinstance(error, PixsearchError):
        return str(error)
    if isinstance(error, TyperException):
        return f"{error.format_message().replace('Value error, ', '').rstrip('.')}. See --help"
    if isinstance(error, OSError) and error.strerror is not None:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error}. Run it again with --debug to see where, and please report it"


def show_traceback(error: BaseException) -> None:
    """Show where an error came from, for `--debug`; it goes into reports, so it shows no passwords either."""
    _on_stderr(without_passwords("".join(traceback.format_exception(error))).rstrip("\n"))


class LoggedLines(logging.Handler):
    """Shows on stderr what a library logs, a line each and without passwords."""

    def emit(self, record: logging.LogRecord) -> None:
        _on_stderr(printable(without_passwords(record.getMessage())))


def _on_stderr(text: str) -> None:
    if sys.stderr is not None:  # where whoever started us closed it, print would take stdout
        print(text, file=sys.stderr, flush=True)


def tell_damage(damage: Sized) -> None:
    """Say how much of a library was left out since it is damaged, if anything was."""
    if count := len(damage):
        say(f"{count:,} damaged {'row' if count == 1 else 'rows'} of the library left out. Run: pixsearch repair")


def tell_problems(problems: Sequence[object]) -> None:
    """What was passed over in data, the first few by name."""
    for problem in problems[:_NAMED_PROBLEMS]:
        say(f"passed over: {problem}")
    if (more := len(problems) - _NAMED_PROBLEMS) > 0:
        say(f"passed over: {more:,} more problems of the data")


def kinds(counts: Mapping[str, int]) -> str:
    """Name files by their suffixes, the most frequent first: 12 .mp4, 3 .svg."""
    most_first = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in most_first)


def print_json(record: Mapping[str, object]) -> None:
    """An object in one line of ASCII, which every pipe can carry."""
    print(json_text(record))


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", title_before: int | None = None
) -> None:
    """Columns aligned to the right, but for the last. No line is wrapped or cut, so that paths can be copied.

    Before the row of that number, from 0, stands a title.
    """
    from rich.console import Console  # 60 ms, as below, for those who see it
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
    """A bar for each task on stderr, gone at the end; lines where stderr is no terminal."""
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
    """Write the latest step to stderr as a line of JSON, at most every quarter of a second."""
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
    """A line after a few seconds and then one a minute, for work that has not ended by then."""
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
                say(f"{passed}: starting")
                continue
            progress, note = latest
            total = "" if progress.total is None else f" of {progress.total:,}"
            say(f"{passed}: {progress.task} {progress.done:,}{total} {note}".rstrip())

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield show
    finally:
        ended.set()
        thread.join()


def _note(progress: Progress, pace: Pace) -> str:
    """How it goes, and how long it will take where that can be told."""
    parts = [progress.note] if progress.note else []
    rate = pace.per_second(progress.done)
    if rate is not None and progress.total is not None and progress.done < progress.total:
        parts.append(f"about {_duration((progress.total - progress.done) / rate)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
