"""Ctrl-C and a polite kill end long work between two steps, with all that is done saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody wants the run to stop."""

    requested = False


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Take SIGINT and SIGTERM as a request to stop; the second one ends the process as usual.

    Outside the main thread, where Python takes no signals, nothing is ever requested.
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
