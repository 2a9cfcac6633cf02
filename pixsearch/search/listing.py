"""Photos by when they were taken: a query that asks for nothing but what filters say, and hits in another order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from pixsearch.errors import UsageError
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate, Metadata
from pixsearch.search.hits import Hit, hits_of
from pixsearch.search.query import Query, Sort

_AT_ONCE = 256

Item = TypeVar("Item")


def listed_photos(library: Library, query: Query, k: int) -> list[Hit]:
    """Return the pictures that pass the filters of a query without parts, `k` from its offset on: the newest first, or
    the oldest; those without a date last. Copies are one hit, near-duplicates are not looked for.

    Raises UsageError for what only words and pictures can be asked with, LibraryError.
    """
    if query.threshold is not None or query.rerank:
        raise UsageError("only words have a probability to match", "Leave --threshold and --rerank out, or add words")
    ids = library.by_date(query.filters, newest_first=query.sort != "oldest")
    apart, last = query.duplicates == "show", query.offset + k
    if not apart:
        ids = ids[query.offset : last]
    hits: list[Hit] = []
    for candidate in _candidates(library, query, ids):
        if len(hits) >= last:
            break
        hits += hits_of(candidate, len(hits) + 1 + (0 if apart else query.offset), apart=apart)
    return hits[query.offset : last] if apart else hits


def _candidates(library: Library, query: Query, ids: Sequence[int]) -> Iterator[Candidate]:
    for start in range(0, len(ids), _AT_ONCE):
        yield from library.candidates(ids[start : start + _AT_ONCE], query.filters)


def in_order_of_dates(items: Iterable[Item], metadata_of: Callable[[Item], Metadata], sort: Sort) -> list[Item]:
    """Return items by when their photos were taken, by the clock of where that was; those without a date last."""
    dated, undated = [], []
    for item in items:
        taken_at = metadata_of(item).taken_at
        if taken_at is None:
            undated.append(item)
        else:
            dated.append((taken_at.replace(tzinfo=None), item))
    dated.sort(key=lambda one: one[0], reverse=sort == "newest")  # stable
    return [*(item for _, item in dated), *undated]
