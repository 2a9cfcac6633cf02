"""Graceful interruption: Ctrl-C and SIGTERM stop a long-running operation after it has saved its progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """A flag that records a request to stop."""

    requested = False
    """Whether the user has requested a stop."""


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Treat the first SIGINT or SIGTERM as a request to stop; a second one ends the process as usual.

    Python handles signals only in the main thread. In other threads, a stop is never requested.
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
