"""Helpers for all benchmarks: describe the machine, and measure the time and memory of a command."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path

Command = Sequence[str | Path]

PIXSEARCH = Path(sys.executable).with_name("pixsearch")
_COMPUTING_PACKAGES = ("torch", "openvino", "faiss-cpu", "faiss-gpu", "numpy", "pillow", "sqlalchemy")
_SAMPLED_EVERY_S = 0.1


@dataclass(frozen=True)
class Taken:
    """The wall-clock time of a command, and its peak memory including its children.

    The memory is 0 if it was not measured. Measuring it slows down short commands.
    """

    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Row:
    """A row in the table of all benchmarks: a figure for pixsearch, and one for the reference named in `beside`."""

    what: str
    ours: float
    unit: str
    beside: str = ""
    theirs: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.theirs is None else self.ours / self.theirs


def print_machine() -> None:
    """Print the command line, the CPU and the versions of the computing packages."""
    here = where()
    print("$", here["command"])
    print(f"{here['cpu']}, {here['cores']} cores; {here['versions']}")


def where() -> dict[str, str | int]:
    """Return the command line, the date, the CPU and the versions of the computing packages."""
    installed = [name for name in _COMPUTING_PACKAGES if any(distributions(name=name))]
    return {
        "command": f"python {shlex.join(sys.argv)}",
        "day": f"{datetime.date.today():%Y-%m-%d}",
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in installed)]
        ),
    }


def take(
    command: Command, folder: Path | None = None, environment: Mapping[str, str] | None = None, *, watch: bool = True
) -> Taken:
    """Run a command and measure it. Raises CalledProcessError if it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | (environment or {}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        peaks = [0.0]
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peaks, done))
        if watch:
            watcher.start()
        _, errors = process.communicate()
        seconds = time.perf_counter() - began
        done.set()
        if watch:
            watcher.join()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=errors)
    return Taken(seconds, max(peaks))


def median(takens: Sequence[Taken]) -> Taken:
    return Taken(statistics.median(one.seconds for one in takens), statistics.median(one.peak_mb for one in takens))


def _watch(process: int, peaks: list[float], done: threading.Event) -> None:
    while not done.wait(_SAMPLED_EVERY_S):
        peaks.append(memory_mb(process))


def memory_mb(process: int) -> float:
    """Return the memory of a process and its descendants (PSS, which counts shared pages once)."""
    total = 0.0
    for one in [process, *_below(process)]:
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


def _below(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_below(child)]
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
