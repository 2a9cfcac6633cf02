"""Answers from metadata alone: photos that pass filters, by date, and photos that say the words of a query."""

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
"""The most photos that are ranked, the newest first, if more say all words of a query."""

Item = TypeVar("Item")


def listed_photos(library: Library, query: Query, k: int) -> list[Hit]:
    """Return the `k` pictures from the offset of a query without parts that pass its filters, by date.

    The newest come first, or the oldest; pictures without a date come last. Copies are one hit; near-duplicates are not
    folded.

    Raises UsageError if the query has options that require words or pictures, LibraryError.
    """
    if query.threshold is not None or query.rerank:
        raise UsageError("a threshold requires words", "Omit --threshold and --rerank, or add words")
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
    """Return the `k` pictures from the offset of a query whose metadata, names or folders say all its words.

    Pictures that say all words of a part with a negative weight are left out. Text about a single photo counts more
    than text about many; equal pictures are ordered by date, the newest first.

    Raises UsageError if the query has pictures or no words to look up, LibraryError.
    """
    query, _ = without_negations(query, library, None)
    if len(query.words) < len(query.parts) or query.main_words is None:
        raise UsageError("--says works only with text queries", "Omit --says, or search by words only")
    if query.rerank:
        raise UsageError("--says does not re-rank", "Omit --says or --rerank")
    parts = [understand(words.text, library, None, date.today(), says_only=True) for words in query.words]
    looked_for = [part for part, words in zip(parts, query.words, strict=True) if words.weight > 0]
    if not all(part.wanted for part in looked_for):
        raise UsageError(
            "the query has no word that metadata could match", "Search for a name, a place, a date or a keyword"
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
    """Return items by the local time at which their photos were taken; items without a date come last."""
    dated, undated = [], []
    for item in items:
        taken_at = metadata_of(item).taken_at
        if taken_at is None:
            undated.append(item)
        else:
            dated.append((taken_at.replace(tzinfo=None), item))
    dated.sort(key=lambda one: one[0], reverse=sort == "newest")  # stable
    return [*(item for _, item in dated), *undated]
