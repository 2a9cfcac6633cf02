"""Unsuitable files: reading them would block, never end, or fill the memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

PATIENCE_S = 20
LARGE_BYTES = 20 << 30
"""A size that no test machine can read into memory. The file is sparse and takes no disk space."""


def make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def make_endless(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def make_large(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, LARGE_BYTES)


UNSUITABLE: dict[str, Callable[[Path], None]] = {
    "pipe": make_pipe,
    "endless": make_endless,
    "socket": make_socket,
    "large": make_large,
}


@contextmanager
def reading(pipe: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that reads a pipe, by default to its end. Fail the test if nobody writes to the pipe."""
    with in_time(), subprocess.Popen([*(command or ("cat",)), pipe], stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def in_time(seconds: int = PATIENCE_S) -> Iterator[None]:
    """Fail if the block takes longer, in Python or in a system call."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"it waits for more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
