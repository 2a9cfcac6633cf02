"""Progress reports from long-running operations. The caller passes a callback that displays them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_MEASURED_STEPS, _MEASURED_S = 10, 5.0
"""The number of steps and seconds before a pace is reported. Earlier values would mostly reflect the startup time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a task: `done` out of `total` steps (None if the total is unknown), and a note."""

    task: str
    done: int
    total: int | None = None
    note: str = ""


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore progress reports."""


class Pace:
    """The speed of a task, excluding the time before its first completed steps."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def per_second(self, done: int) -> float | None:
        """Return the number of steps per second after `done` steps, or None if it is too early to tell."""
        now = time.monotonic()
        if self._first is None:
            if done:
                self._first = done, now
            return None
        steps, seconds = done - self._first[0], now - self._first[1]
        return steps / seconds if steps >= _MEASURED_STEPS and seconds >= _MEASURED_S else None

    def note(self, done: int) -> list[str]:
        """Return the pace as part of a progress note, such as "40/s", or an empty list if it is unknown."""
        rate = self.per_second(done)
        return [] if rate is None else [rate_text(rate)]


def rate_text(per_second: float) -> str:
    """Format a rate per second, minute or hour, whichever gives at least 10 if possible: "40/s", "24/min"."""
    if per_second >= 10:
        return f"{per_second:.0f}/s"
    return f"{60 * per_second:.0f}/min" if 60 * per_second >= 10 else f"{3600 * per_second:.0f}/h"
