"""The first stage: find the pictures whose pixels or text best match a query, and fold near-duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pixsearch.filters import NO_FILTERS
from pixsearch.library.library import Library
from pixsearch.library.records import Candidate
from pixsearch.model.likeness import ALIKE, MAY_BE_ALIKE
from pixsearch.search.query import Query
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.storage import path_bytes

Ids = NDArray[np.int64]


@dataclass(slots=True)
class Found:
    """A picture found by the first stage, with its folded near-duplicates."""

    candidate: Candidate
    similarity: float
    similar: list[Candidate] = field(default_factory=list)


def first_stage(
    library: Library, runtime: Runtime, vector: Floats, query: Query, count: int, saying: Sequence[Ids]
) -> list[Found]:
    """Return at most `count` pictures that pass the filters, nearest to a vector first.

    Up to half of them are the nearest pictures in the groups in `saying`, taken group by group.
    """
    wanted = count
    while True:
        ids = library.nearest(vector, wanted, query.filters)
        others = _nearest_of_groups(library, vector, query, wanted // 2, saying)
        # This drops pictures that were deleted from the library after the index was built.
        candidates = library.candidates(list(dict.fromkeys([*others, *ids]))[:wanted], query.filters)
        # Similarities are computed again because the index has only 16 bits per number. They are computed one by one
        # because the last bits of a matrix product depend on the other rows, so similarities of equal embeddings could
        # differ.
        found = [Found(candidate, float(np.dot(candidate.embedding, vector))) for candidate in candidates]
        found.sort(key=_nearest_first)
        if query.duplicates == "fold":
            found = _folded(library, runtime, found)
        if len(found) >= count or len(ids) < wanted:
            return _without_last(found, len(found) - count, set(others))
        wanted *= 2


def _nearest_of_groups(library: Library, vector: Floats, query: Query, count: int, groups: Sequence[Ids]) -> list[int]:
    found: list[int] = []
    for group in groups:
        if len(found) >= count:
            break
        if len(group) <= count - len(found) and query.filters == NO_FILTERS:
            found += group.tolist()
        else:
            found += library.nearest(vector, count - len(found), query.filters, group)
    return found


def _without_last(found: list[Found], count: int, kept: set[int]) -> list[Found]:
    """Return the pictures without the `count` farthest ones, but always keep those whose ids are in `kept`."""
    others = [
        one for one in reversed(found) if kept.isdisjoint(each.content_id for each in (one.candidate, *one.similar))
    ]
    dropped = {one.candidate.content_id for one in others[: max(count, 0)]}
    return [one for one in found if one.candidate.content_id not in dropped]


def _folded(library: Library, runtime: Runtime, found: list[Found]) -> list[Found]:
    """Return the pictures with near-duplicates folded into the one with the most pixels."""
    if not found:
        return []
    embeddings = np.stack([one.candidate.embedding for one in found])
    near = embeddings @ embeddings.T >= MAY_BE_ALIKE
    np.fill_diagonal(near, False)
    grids = library.grids([found[index].candidate.content_id for index in np.flatnonzero(near.any(axis=1))])
    kept: dict[int, Found] = {}
    for index, one in enumerate(found):
        grid = grids.get(one.candidate.content_id)
        for earlier in np.flatnonzero(near[index, :index]).tolist():
            other = kept.get(earlier)
            other_grid = None if other is None else grids.get(other.candidate.content_id)
            if other is None or grid is None or other_grid is None:
                continue
            if runtime.likeness(grid, other_grid) >= ALIKE:
                other.similar.append(one.candidate)
                break
        else:
            kept[index] = one
    similarities = {one.candidate.content_id: one.similarity for one in found}
    return [_shown_by_its_best(one, similarities) for one in kept.values()]


def _nearest_first(one: Found) -> tuple[float, bytes]:
    return -one.similarity, path_bytes(one.candidate.paths[0])


def _shown_by_its_best(group: Found, similarities: Mapping[int, float]) -> Found:
    """Return the group, represented by its picture with the most pixels.

    Ties are broken in favour of a picture with a date, then the nearest one. A thumbnail is often nearer to the words
    than its original, so the group keeps the similarity of its nearest picture.
    """

    def rank(candidate: Candidate) -> tuple[int, bool, float]:
        return *candidate.metadata.pixels_and_date, similarities[candidate.content_id]

    every = [group.candidate, *group.similar]
    best = max(every, key=rank)
    if best is group.candidate:
        return group
    return Found(best, group.similarity, [one for one in every if one is not best])
