"""The query data classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pixsearch.errors import UsageError
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.storage import FilePath

Sort: TypeAlias = Literal["relevance", "newest", "oldest"]

_LEAST_WEIGHT = 0.001

DEFAULT_CANDIDATES = 8
"""The default number of candidates. More would take longer but barely improve results (docs/experiments.md)."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words to search for. Raises UsageError if the text is empty or not valid Unicode."""

    text: str
    weight: float = 1.0
    """The weight relative to the other parts of the query. If negative, photos that match the words rank lower."""

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if not self.text.strip():
            raise UsageError("the query is empty", 'Enter search text, e.g. pixsearch query "a cat"')
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise UsageError("the query is not valid Unicode", "Check that the terminal uses UTF-8") from error


@dataclass(frozen=True, slots=True)
class Picture:
    """An example picture: the search finds similar ones."""

    source: FilePath | bytes | int
    """A path or URL, the bytes of an image file, or the id of a hit."""
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_weight(self.weight)


@dataclass(frozen=True, slots=True)
class Query:
    """A query with weighted words and pictures, filters and other options.

    A query without words or pictures finds all photos that pass the filters. Raises UsageError if the query is invalid.
    """

    parts: tuple[Words | Picture, ...] = ()

    filters: Filters = NO_FILTERS
    """The filters that photos must pass."""

    candidates: int = DEFAULT_CANDIDATES
    """The number of photos that the second stage reads. The others are ranked by late interaction."""

    rerank: bool | None = None
    """True: order by the second stage. False: skip the second stage and order by similarity, but put photos whose
    metadata contains the names in the query first. None: use the order that worked better when the model was
    validated."""

    threshold: float | None = None
    """The minimum score of a hit, from 0 to 1. None: unlikely hits are included and come last."""

    duplicates: Literal["fold", "show"] = "fold"
    """fold: copies and near-duplicates of a picture form one hit. show: each photo is a hit."""

    evidence: Literal["both", "shows", "says"] = "both"
    """shows: search the pixels only. says: search the metadata, file names and folders only. both: combine the two."""

    sort: Sort = "relevance"
    """The order of the hits. If they are sorted by date, only the 64 most relevant photos (more if more hits are
    requested) are considered: the likely hits among them (`Hit.likely`) are sorted and come first. If the model has no
    probabilities, all of them are sorted. A query without words or pictures returns the newest photos first by default.
    """

    literal: bool = False
    """True: do not interpret negations, as in "a street without people", and do not report unknown words."""

    offset: int = 0
    """The number of hits to skip, for paging. Beyond the first 64 hits, more photos are ranked together, so a hit may
    appear on two pages."""

    def __post_init__(self) -> None:
        if not self.parts and self.filters == NO_FILTERS and self.sort == "relevance":
            raise UsageError(
                "the query is empty", "Enter search text, --image or a filter, or --sort newest for all photos"
            )
        if self.evidence != "both" and not self.words:
            raise UsageError("--shows and --says require search text", "Omit the option, or add search text")
        if self.offset < 0:
            raise UsageError(f"the offset must be 0 or more, not {self.offset}", "Use 0 or more")
        if self.candidates < 1:
            raise UsageError(f"the number of candidates must be at least 1, not {self.candidates}", "Use 1 or more")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"the threshold must be between 0 and 1, not {self.threshold}", "Use a number from 0 to 1")
        if self.threshold is not None and self.rerank is False:
            raise UsageError("--threshold and --no-rerank cannot be used together", "Omit one of them")

    @property
    def words(self) -> tuple[Words, ...]:
        return tuple(part for part in self.parts if isinstance(part, Words))

    @property
    def main_words(self) -> Words | None:
        """The words whose probability is reported in a hit: the first part with a positive weight."""
        return next((part for part in self.words if part.weight > 0), None)


def why_not_read(query: Query) -> str | None:
    """Return why a re-rank model cannot be used for a query, or None if it can."""
    if not query.words:
        return "a query without words cannot be re-ranked"
    if query.rerank is False:
        return "--rerank-model and --no-rerank cannot be used together"
    if query.threshold is not None:
        return "a re-ranking model has no calibrated probabilities for a threshold"
    if query.sort != "relevance":
        return "a re-ranking model sorts by relevance, not by date"
    if query.evidence == "says":
        return "a re-ranking model reads pictures, but --says searches metadata only"
    return None


def _check_weight(weight: float) -> None:
    if not _LEAST_WEIGHT <= abs(weight) <= 1 / _LEAST_WEIGHT:
        raise UsageError(f"a weight must be between 0.001 and 1000, not {abs(weight)}", "Use a number in that range")
