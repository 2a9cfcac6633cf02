"""How long work tells what it is doing: it calls a function with a `Progress`; who draws it is not its concern."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

_MEASURED_STEPS, _MEASURED_S = 10, 5.0
"""A pace is known after so many steps and seconds: fewer say more of how the work begins than of how it goes on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of long work: `done` of `total` (None while the total is not known yet), and how it goes."""

    task: str
    done: int
    total: int | None = None
    note: str = ""


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The callback of those who do not want to know."""


class Pace:
    """How fast a task goes. What comes before its first finished steps is preparation and does not count."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def per_second(self, done: int) -> float | None:
        """Return steps a second now that so many are done, or None as long as they are too few to tell."""
        now = time.monotonic()
        if self._first is None:
            if done:
                self._first = done, now
            return None
        steps, seconds = done - self._first[0], now - self._first[1]
        return steps / seconds if steps >= _MEASURED_STEPS and seconds >= _MEASURED_S else None

    def note(self, done: int) -> list[str]:
        """Return what a progress says of the pace: "40/s", or nothing as long as it cannot be told."""
        rate = self.per_second(done)
        return [] if rate is None else [rate_text(rate)]


def rate_text(per_second: float) -> str:
    """Write a rate in the unit that makes it 10 or more: "40/s", "24/min"."""
    if per_second >= 10:
        return f"{per_second:.0f}/s"
    return f"{60 * per_second:.0f}/min" if 60 * per_second >= 10 else f"{3600 * per_second:.0f}/h"
