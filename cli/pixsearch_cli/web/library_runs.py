"""Runs that the page starts to change the library: child processes of `pixsearch index`, `forget` or `duplicates`.

They behave exactly as in a terminal, and the server itself never writes to the library. They ignore the config file:
a folder keeps its rules in the library, whatever the defaults for new folders are.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from starlette.exceptions import HTTPException

from pixsearch.library.records import Failure
from pixsearch.paths import is_at_or_below
from pixsearch.printable import plural, printable
from pixsearch.progress import Progress
from pixsearch.settings import Location
from pixsearch.storage import path_bytes
from pixsearch_cli.forget_cmd import summary as summary_of_forgetting
from pixsearch_cli.index_cmd import summary
from pixsearch_cli.web.allowed_folders import AllowedFolders
from pixsearch_indexer import IndexReport

_LINE_LIMIT_BYTES = 1 << 20
_STOP_TIMEOUT_S = 10.0

Action = Literal["index", "forget", "duplicates"]
_OPTIONS: dict[Action, Sequence[str]] = {
    "index": ("--progress", "json"),
    "forget": (),
    "duplicates": ("--alike", "--progress", "json"),
}


@dataclass(slots=True)
class LibraryRun:
    """The state of a child process that changes the library."""

    action: Action
    folders: tuple[bytes, ...]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    progress: Progress | None = None
    """The latest line of `--progress json`."""
    summary: str | None = None
    failures: dict[str, int] = field(default_factory=dict)
    """The number of files in the run's folders that could not be read, by kind of reason."""
    error: str | None = None
    stopped: bool = False


class LibraryRuns:
    """Starts runs, one at a time, and keeps the latest one's state. All methods must be called in the event loop."""

    def __init__(
        self,
        allowed: AllowedFolders,
        library: Location,
        model: str | None,
        failures: Callable[[], Sequence[Failure]],
    ) -> None:
        self.allowed = allowed
        self._environment = _environment(library, model)
        self._failures = failures
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.latest: LibraryRun | None = None

    @property
    def is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self, action: Action, folders: Sequence[bytes] = ()) -> None:
        """Start a run in the background. Raises HTTPException 409 if another run is in progress."""
        if self.is_busy:
            raise HTTPException(409, "another run is in progress: wait for it to end, or stop it")
        self.latest = run = LibraryRun(action, tuple(folders))
        self._task = asyncio.create_task(self._follow(run))

    async def stop(self) -> None:
        """Stop the current run, if there is one. Everything that it has committed is kept."""
        if self._task is None or self._task.done() or self.latest is None:
            return
        self.latest.stopped = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
        done, _ = await asyncio.wait([self._task], timeout=_STOP_TIMEOUT_S)
        if not done and self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._task

    async def _follow(self, run: LibraryRun) -> None:
        try:
            await self._child(run)
            run.failures = await asyncio.to_thread(_by_kind, self._failures, run.folders)
        except Exception as error:  # noqa: BLE001 - the page shows every error
            run.error = f"unexpected {type(error).__name__}: {error}. Please report it"
        finally:
            self._process = None
            run.progress = None
            run.ended = datetime.now(UTC)

    async def _child(self, run: LibraryRun) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "pixsearch_cli"),
            *(run.action, "--json", *_OPTIONS[run.action], "--"),
            *run.folders,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT_BYTES,
        )
        if run.stopped:
            process.terminate()
        assert process.stdout is not None
        assert process.stderr is not None
        output, message = await asyncio.gather(process.stdout.read(), _messages(process.stderr, run))
        code = await process.wait()
        try:
            run.summary = _SUMMARIES[run.action]([json.loads(line) for line in output.splitlines()])
            run.stopped = False  # it ended before it could be stopped
        except (ValueError, LookupError):
            if run.stopped:
                return
            run.error = message or f"pixsearch {run.action} ended with exit code {code}"


async def _messages(lines: asyncio.StreamReader, run: LibraryRun) -> str | None:
    """Update the progress of a run from its output, and return the last message that is not a progress report."""
    message = None
    while True:
        try:
            if not (line := await lines.readline()):
                return message
        except ValueError:  # a line over the size limit is dropped
            continue
        text = line.decode(errors="replace").strip()
        if text.startswith("{"):
            with suppress(ValueError, TypeError):
                run.progress = Progress(**json.loads(text))
        elif text:
            message = printable(text.removeprefix("pixsearch: "))


def _of_indexing(printed: list[dict[str, Any]]) -> str:
    return summary(IndexReport(**{**printed[0], "offline": (), "switch": None}))


def _of_forgetting(printed: list[dict[str, Any]]) -> str:
    return summary_of_forgetting(printed[0]["forgotten"])


def _of_duplicates(groups: list[dict[str, Any]]) -> str:
    return f"{plural(len(groups), 'group')} of duplicates"


_SUMMARIES: dict[Action, Callable[[list[dict[str, Any]]], str]] = {
    "index": _of_indexing,
    "forget": _of_forgetting,
    "duplicates": _of_duplicates,
}


def _by_kind(failures: Callable[[], Sequence[Failure]], folders: Sequence[bytes]) -> dict[str, int]:
    here = (
        failure for failure in failures() if any(is_at_or_below(path_bytes(failure.path), folder) for folder in folders)
    )
    return dict(Counter(kind(failure.reason) for failure in here).most_common())


def kind(reason: str) -> str:
    """Return the kind of a failure: its reason without the details."""
    return reason.partition(":")[0]


def _environment(library: Location, model: str | None) -> dict[str, str]:
    """Return the environment of a child process. Unlike options, it does not expose passwords in the process list."""
    environment: Mapping[str, str] = {name: value for name, value in os.environ.items() if name != "PIXSEARCH_TOKEN"}
    named = {
        "PIXSEARCH_NO_CONFIG": "1",
        "PIXSEARCH_LIBRARY": str(library),
        **({} if model is None else {"PIXSEARCH_MODEL": model}),
    }
    return {**environment, **named}
