"""Progress of long-running operations. They call a function with a `Progress`; displaying it is up to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_MEASURED_STEPS, _MEASURED_S = 10, 5.0
"""The steps and seconds after which a pace is known: earlier it would mostly measure the start of the work."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of long work: `done` of `total` steps (None while the total is unknown), and a note."""

    task: str
    done: int
    total: int | None = None
    note: str = ""


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Ignore the progress."""


class Pace:
    """The speed of a task. The time before its first finished steps is preparation and does not count."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def per_second(self, done: int) -> float | None:
        """Return the steps per second after `done` of them, or None if they are too few to measure."""
        now = time.monotonic()
        if self._first is None:
            if done:
                self._first = done, now
            return None
        steps, seconds = done - self._first[0], now - self._first[1]
        return steps / seconds if steps >= _MEASURED_STEPS and seconds >= _MEASURED_S else None

    def note(self, done: int) -> list[str]:
        """Return the pace for a progress note, such as "40/s", or nothing while it is unknown."""
        rate = self.per_second(done)
        return [] if rate is None else [rate_text(rate)]


def rate_text(per_second: float) -> str:
    """Return a rate in the unit in which it is 10 or more: "40/s", "24/min"."""
    if per_second >= 10:
        return f"{per_second:.0f}/s"
    return f"{60 * per_second:.0f}/min" if 60 * per_second >= 10 else f"{3600 * per_second:.0f}/h"
