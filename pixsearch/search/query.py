"""A question to a library, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pixsearch.errors import UsageError
from pixsearch.library.filters import NO_FILTERS, Filters
from pixsearch.storage import FilePath

Sort: TypeAlias = Literal["relevance", "newest", "oldest"]

_LEAST_WEIGHT = 0.001

DEFAULT_CANDIDATES = 8
"""More find little (docs/experiments.md, the cascade), and each costs time."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words to look for. Raises UsageError where there are none."""

    text: str
    weight: float = 1.0
    """Less than 0: photos that these words do not describe."""

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
    """A picture to look for others like it: a file, which may be a photo of the library, the bytes of one, or the id
    that a hit has."""

    source: FilePath | bytes | int
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: words and pictures, each with a weight; without any, all photos that pass the filters.

    Raises UsageError for a query that cannot be asked.
    """

    parts: tuple[Words | Picture, ...] = ()

    filters: Filters = NO_FILTERS
    """Photos that do not pass are not looked at."""

    candidates: int = DEFAULT_CANDIDATES
    """How many photos the second stage reads; late interaction orders the others that are found."""

    rerank: bool | None = None
    """True: order by the second stage. False: leave that stage out, and order by similarity, behind what says
    the names that are asked for. None: the order in which the model is better, by its own validation."""

    threshold: float | None = None
    """The least probability that a hit may have, from 0 to 1. None: hits that are not likely come last."""

    duplicates: Literal["fold", "show"] = "fold"
    """Whether copies and near-duplicates of a picture are one hit, or each photo one."""

    evidence: Literal["both", "shows", "says"] = "both"
    """What is looked at: what photos show, what they say, or both."""

    sort: Sort = "relevance"
    """By date only what matches well enough to be called a match (`Hit.likely`) is ordered, of the 64 photos that
    relevance chooses (of more for hits beyond them), and stands before the rest; all of them where nothing has a
    probability. Without parts the newest of all come first."""

    literal: bool = False
    """Whether words are asked as they stand: "a street without people" for what these words describe as they are, and
    without a remark on words that the model does not know."""

    offset: int = 0
    """How many of the first hits are left out, to go on where another answer ended. Beyond the first 64, for which more
    photos are read together, one may come again."""

    def __post_init__(self) -> None:
        if not self.parts and self.filters == NO_FILTERS and self.sort == "relevance":
            raise UsageError("the query is empty", "Give words, a picture or a filter, or --sort newest for all photos")
        if self.evidence != "both" and not self.words:
            raise UsageError("--shows and --says are for words", "Leave them out, or add words")
        if self.offset < 0:
            raise UsageError(f"an offset of {self.offset} is too small", "Give 0 or more")
        if self.candidates < 1:
            raise UsageError(f"{self.candidates} candidates are too few", "Ask for 1 or more")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"{self.threshold} is no probability", "Give a threshold from 0 to 1")
        if self.threshold is not None and self.rerank is False:
            raise UsageError("without the re-rank there is no probability to match", "Leave one of the two out")

    @property
    def words(self) -> tuple[Words, ...]:
        return tuple(part for part in self.parts if isinstance(part, Words))

    @property
    def main_words(self) -> Words | None:
        """Those whose probability a hit has: the first that are looked for."""
        return next((part for part in self.words if part.weight > 0), None)


def why_not_read(query: Query) -> str | None:
    """Return why no re-rank model orders what a query finds; None where one does."""
    if not query.words:
        return "a query without words cannot be re-ranked"
    if query.rerank is False:
        return "--rerank-model and --no-rerank contradict each other"
    if query.threshold is not None:
        return "a re-rank model has no calibrated probabilities for a threshold"
    if query.sort != "relevance":
        return "a re-rank model orders by relevance, not by date"
    if query.evidence == "says":
        return "a re-rank model reads pictures, and --says looks at none"
    return None


def _check_weight(weight: float) -> None:
    if not _LEAST_WEIGHT <= abs(weight) <= 1 / _LEAST_WEIGHT:
        raise UsageError(f"a part of a query cannot weigh {abs(weight)}", "Use a number from 0.001 to 1000")
