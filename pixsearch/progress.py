"""How long work tells what it is doing: it calls a function with a `Progress`; who draws it is not its concern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
