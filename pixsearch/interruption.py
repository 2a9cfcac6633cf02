"""Ctrl-C and a polite kill end long work between two steps, with all that is done saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """Whether somebody wants the run to stop."""

    asked = False


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Take SIGINT and SIGTERM as a wish; the second one ends the process as ever.

    Outside the main thread, where Python takes no signals, nothing is asked.
    """
    wish = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(_number: int, _frame: FrameType | None) -> None:
        wish.asked = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield wish
    finally:
        restore()
