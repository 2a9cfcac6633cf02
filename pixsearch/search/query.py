"""A question to a library, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from pixsearch.errors import UsageError

DEFAULT_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class Words:
    """Words to look for. Raises UsageError where there are none."""

    text: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if not self.text.strip():
            raise UsageError("the query is empty", 'Say what to look for, as in: pixsearch query "a cat"')
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise UsageError("the query is not valid text", "Is the terminal set to UTF-8?") from error


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to look for others like it."""

    path: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: words and pictures, each with a weight. Raises UsageError for a query that cannot be asked."""

    parts: tuple[Words | Picture, ...]

    candidates: int = DEFAULT_CANDIDATES
    """How many photos of the first stage the second one reads; never fewer than the hits asked for."""

    rerank: bool | None = None
    """True: order by match. False: order by similarity and compute no match. None: the order in which the model is
    better, by its own validation."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError("the query is empty", "Give words or a picture")
        if self.candidates < 1:
            raise UsageError(f"{self.candidates} candidates are too few", "Ask for 1 or more")
        if self.rerank and not self.words:
            raise UsageError("a query without words cannot be re-ranked", "Pictures are compared by similarity alone")

    @property
    def words(self) -> tuple[Words, ...]:
        return tuple(part for part in self.parts if isinstance(part, Words))


def _check_weight(weight: float) -> None:
    if weight == 0 or not math.isfinite(weight):
        raise UsageError(f"a part of a query cannot weigh {weight}", "Use a number other than 0")
