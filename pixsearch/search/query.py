"""A query as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pixsearch.errors import UsageError
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.storage import FilePath

Sort: TypeAlias = Literal["relevance", "newest", "oldest"]

_LEAST_WEIGHT = 0.001

DEFAULT_CANDIDATES = 8
"""The default number of candidates: more find little (docs/experiments.md, the cascade), and each costs time."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words to search for. Raises UsageError if the text is empty."""

    text: str
    weight: float = 1.0
    """The weight among the parts of a query. With a negative weight, photos that the words describe rank lower."""

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if not self.text.strip():
            raise UsageError("the query is empty", 'Enter search text, e.g. pixsearch query "a cat"')
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise UsageError("the query is not valid text", "Check that the terminal uses UTF-8") from error


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to find similar ones: a file, which may be a photo of the library, the bytes of one, or the id of a
    hit."""

    source: FilePath | bytes | int
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)


@dataclass(frozen=True, slots=True)
class Query:
    """A search for words and pictures, each with a weight; without any, for all photos that pass the filters.

    Raises UsageError if the query is not valid.
    """

    parts: tuple[Words | Picture, ...] = ()

    filters: Filters = NO_FILTERS
    """The filters that photos must pass."""

    candidates: int = DEFAULT_CANDIDATES
    """The number of photos that the second stage reads; late interaction orders the others."""

    rerank: bool | None = None
    """True: order by the second stage. False: skip the second stage, and order by similarity, after photos whose
    metadata contain the names in the query. None: the order in which the model is better, by its own validation."""

    threshold: float | None = None
    """The least probability of a hit, from 0 to 1. None: unlikely hits are included, and come last."""

    duplicates: Literal["fold", "show"] = "fold"
    """fold: copies and near-duplicates of a picture are one hit. show: each photo is a hit."""

    evidence: Literal["both", "shows", "says"] = "both"
    """shows: search the pixels only. says: search metadata, file names and folders only. both: combine the two."""

    sort: Sort = "relevance"
    """The order of the hits. By date, the likely hits (`Hit.likely`) among the 64 most relevant photos (more if the
    answer is longer) are sorted and come before the rest; if the model has no probabilities, all of these photos are
    sorted. A query without parts returns the newest photos first by default."""

    literal: bool = False
    """True: do not interpret negations, so "a street without people" is searched as it is written, and do not remark on
    words that the model does not know."""

    offset: int = 0
    """The number of hits to skip, to continue where another answer ended. Beyond the first 64 hits, more photos are
    ranked together, so a hit may be repeated."""

    def __post_init__(self) -> None:
        if not self.parts and self.filters == NO_FILTERS and self.sort == "relevance":
            raise UsageError(
                "the query is empty", "Enter search text, --image or a filter, or --sort newest for all photos"
            )
        if self.evidence != "both" and not self.words:
            raise UsageError("--shows and --says require words", "Omit them, or add words")
        if self.offset < 0:
            raise UsageError(f"the offset must be 0 or more, not {self.offset}", "Use 0 or more")
        if self.candidates < 1:
            raise UsageError(f"the number of candidates must be at least 1, not {self.candidates}", "Use 1 or more")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"the threshold must be between 0 and 1, not {self.threshold}", "Use a number from 0 to 1")
        if self.threshold is not None and self.rerank is False:
            raise UsageError("--threshold requires the re-rank", "Omit --threshold or --no-rerank")

    @property
    def words(self) -> tuple[Words, ...]:
        return tuple(part for part in self.parts if isinstance(part, Words))

    @property
    def main_words(self) -> Words | None:
        """The words whose probability a hit reports: the first with a positive weight."""
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
        raise UsageError(f"a weight must be from 0.001 to 1000, not {abs(weight)}", "Use a number in that range")
