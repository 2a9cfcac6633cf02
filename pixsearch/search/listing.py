"""Search metadata without the model: list photos by date, or find photos by their text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

import numpy as np

from pixsearch.errors import UsageError
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate
from pixsearch.metadata import Metadata
from pixsearch.search.evidence import gather, probability
from pixsearch.search.first_stage import Found
from pixsearch.search.hits import Figures, Hit, hits_of
from pixsearch.search.names import understand
from pixsearch.search.negation import without_negations
from pixsearch.search.query import Query, Sort

_AT_ONCE = 256
_LOOKED_THROUGH = 2000
"""The maximum number of photos to rank. If more match all words of a query, only the first ones by date are ranked."""

Item = TypeVar("Item")


def listed_photos(library: Library, query: Query, k: int) -> list[Hit]:
    """Return `k` pictures that pass the filters of a query without parts, starting at the query's offset.

    Pictures are sorted by date, newest first unless the query asks for the oldest, and those without a date come last.
    Copies form one hit unless the query shows duplicates; near-duplicates are always separate hits.

    Raises LibraryError, or UsageError if the query has options that require words.
    """
    if query.threshold is not None or query.rerank:
        raise UsageError("--threshold and --rerank require search text", "Omit the option, or add search text")
    ids = library.by_date(query.filters, newest_first=query.sort != "oldest")
    apart, last = query.duplicates == "show", query.offset + k
    if not apart:
        ids = ids[query.offset : last]
    hits: list[Hit] = []
    for candidate in _candidates(library, query, ids):
        if len(hits) >= last:
            break
        hits += hits_of(candidate, len(hits) + 1 + (0 if apart else query.offset), Figures(), apart=apart)
    return hits[query.offset : last] if apart else hits


def photos_that_say(library: Library, query: Query, k: int) -> list[Hit]:
    """Return `k` pictures whose text contains all words of a query, starting at the query's offset.

    The text of a picture is its metadata, file names and folders. Pictures with all words of a part with a negative
    weight are excluded. Text about a single photo counts more than text about many, and ties are sorted by date, newest
    first.

    Raises LibraryError, or UsageError if the query has pictures or no words to look up.
    """
    query, _ = without_negations(query, library, None)
    if len(query.words) < len(query.parts) or query.main_words is None:
        raise UsageError("--says works only with text queries", "Omit --says, or use search text without --image")
    if query.rerank:
        raise UsageError("--says and --rerank cannot be used together", "Omit one of them")
    parts = [understand(words.text, library, None, date.today(), says_only=True) for words in query.words]
    looked_for = [part for part, words in zip(parts, query.words, strict=True) if words.weight > 0]
    if not all(part.wanted for part in looked_for):
        raise UsageError(
            "the query has no words to look up in metadata", "Search for a name, a place, a date or a keyword"
        )
    ids = frozenset.intersection(*(part.ids_that_say_all() for part in looked_for))
    ids -= {id_ for part in parts if part not in looked_for and part.wanted for id_ in part.ids_that_say_all()}
    in_order = [id_ for id_ in library.by_date(query.filters, newest_first=query.sort != "oldest") if id_ in ids]
    found = [Found(one, 0.0) for one in library.candidates(in_order[:_LOOKED_THROUGH], query.filters)]
    weights = [1.0] * len(looked_for)
    evidence = gather(found, looked_for, weights, list(library.roots()))
    figures = evidence.log_odds(np.zeros_like(evidence.added), weights)
    pieces = {one.piece.text for part in looked_for for one in part.wanted}
    order = [index for index, said in enumerate(evidence.said) if pieces <= {one.word for one in said}]
    if query.sort == "relevance":
        order.sort(key=lambda index: -figures[index].round(4))
    hits: list[Hit] = []
    for index in order:
        score, apart = probability(float(figures[index])), query.duplicates == "show"
        if score >= (query.threshold or 0):
            said, by_photo = evidence.said[index], evidence.by_photo[index]
            of_hit = Figures(score=score, says=said, says_by_photo=by_photo)
            of_picture = hits_of(found[index].candidate, 0, of_hit, apart=apart)
            hits += [hit for hit in of_picture if pieces <= {one.word for one in hit.says}]
        if len(hits) >= query.offset + k:
            break
    ranked = [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]
    return ranked[query.offset : query.offset + k]


def _candidates(library: Library, query: Query, ids: Sequence[int]) -> Iterator[Candidate]:
    for start in range(0, len(ids), _AT_ONCE):
        yield from library.candidates(ids[start : start + _AT_ONCE], query.filters)


def in_order_of_dates(items: Iterable[Item], metadata_of: Callable[[Item], Metadata], sort: Sort) -> list[Item]:
    """Return items sorted by the local time at which their photos were taken. Items without a date come last."""
    dated, undated = [], []
    for item in items:
        taken_at = metadata_of(item).taken_at
        if taken_at is None:
            undated.append(item)
        else:
            dated.append((taken_at.replace(tzinfo=None), item))
    dated.sort(key=lambda one: one[0], reverse=sort == "newest")  # stable
    return [*(item for _, item in dated), *undated]
