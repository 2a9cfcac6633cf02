"""Ctrl-C and SIGTERM as requests to stop long work between two steps, after saving what is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """The request to stop a run."""

    requested = False
    """True once the user has asked the run to stop."""


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Take SIGINT and SIGTERM as a request to stop; a second one ends the process as usual.

    Outside the main thread, where Python handles no signals, nothing is ever requested.
    """
    interrupt = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(_number: int, _frame: FrameType | None) -> None:
        interrupt.requested = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield interrupt
    finally:
        restore()
