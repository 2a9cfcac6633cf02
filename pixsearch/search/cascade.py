"""The second stage: late interaction orders what similarity found, the joint Transformer reads the few best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixsearch.model.late_scores import ReadText
from pixsearch.search.runtime import Floats, Runtime

ORDERED = 64
"""How many candidates late interaction orders at least: more find little (docs/experiments.md)."""

Indices = NDArray[np.intp]


def ordered_by_late(candidates: int, hits: int = 0) -> int:
    """Return how many of the first stage late interaction orders, where the joint stream reads `candidates`."""
    return max(ORDERED, 2 * candidates, hits)


def best_first(scores: NDArray[np.floating], decimals: int) -> Indices:
    """Return the indices of scores [items], the best first; equal ones stay in their order.

    Rounded, since the last digits depend on how many pairs go through the network together.
    """
    order: Indices = np.argsort(-scores.round(decimals), kind="stable")
    return order


def best_by_late(late: NDArray[np.floating]) -> Indices:
    """Return the indices of late scores [items], the best first."""
    return best_first(late, 5)


def best_by_match(logits: Floats) -> Indices:
    """Return the indices of ITM logits [items], the best first."""
    return best_first(logits, 4)


@dataclass(frozen=True, slots=True)
class CascadeScores:
    """What both stages say of the parts of a query with its candidates."""

    late: Floats  # [parts, items]
    logits: Floats  # [parts, items], NaN where the pair was not read
    match: Floats  # [items], the weighted sum of the logits
    order: Indices  # [items], best first: the items that were read, then the others by late score
    read: NDArray[np.bool_]  # [items], True where the item was read

    def match_of(self, index: int) -> float | None:
        """Return the match of an item; None where it was not read."""
        return float(self.match[index]) if self.read[index] else None


def cascade(
    late: Floats,
    weights: Sequence[float],
    candidates: int,
    match: Callable[[Indices], Floats],
    prefer: Callable[[Floats], NDArray[np.floating]] | None = None,
) -> CascadeScores:
    """Have the items read that are best by late scores. One that could not be read keeps its place among them.

    Args:
        late: [parts, items], the items in the order of the first stage.
        weights: of the parts [parts].
        candidates: how many items are read; 0 for a model that does not read pairs.
        match: indices of items -> logits of all parts with them [parts, indices], NaN for what could not be read.
        prefer: late scores [parts, items] -> by what the items are chosen [items]; else their weighted sum.
    """
    factors = np.array(weights, np.float32)
    order = best_by_late(factors @ late if prefer is None else prefer(late))
    chosen = np.sort(order[:candidates])
    logits = np.full(late.shape, np.nan, np.float32)
    if len(chosen):
        logits[:, chosen] = match(chosen)
    total: Floats = factors @ logits
    read = np.isfinite(total)
    found = np.flatnonzero(read)
    order[read[order]] = found[best_by_match(total[found])]
    return CascadeScores(late, logits, total, order, read)


def rerank_pictures(
    runtime: Runtime,
    texts: Sequence[ReadText],
    weights: Sequence[float],
    grids: Sequence[bytes],
    embeddings: Floats,
    candidates: int,
    prefer: Callable[[Floats], NDArray[np.floating]] | None = None,
    read: Callable[[Indices], Floats] | None = None,
) -> CascadeScores:
    """Run the second stage for texts with these weights on pictures [pictures], given by their grids and embeddings.

    The candidates are read by `read` (see `cascade`) in place of the runtime where it is given.
    """
    late = runtime.late_scores(texts, grids, embeddings)

    def match(indices: Indices) -> Floats:
        packed = [grids[index] for index in indices]
        return np.stack([runtime.match([text], packed, late[part, indices]) for part, text in enumerate(texts)])

    return cascade(late, weights, candidates, read or match, prefer)


def rerank_texts(
    runtime: Runtime,
    grids: Sequence[bytes],
    embeddings: Floats,
    weights: Sequence[float],
    texts: Sequence[str],
    candidates: int,
) -> CascadeScores:
    """Run the second stage for pictures with these weights on texts."""
    read = runtime.read_texts(texts)
    late = runtime.late_scores(read, grids, embeddings).T

    def match(indices: Indices) -> Floats:
        chosen = [read[index] for index in indices]
        return np.stack([runtime.match(chosen, [grid], late[part, indices]) for part, grid in enumerate(grids)])

    return cascade(late, weights, candidates, match)


def read_every_pair(
    runtime: Runtime, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats
) -> tuple[Floats, Floats]:
    """Return the late scores and ITM logits [pairs] of one text with many pictures, or of many with one.

    The logits are NaN for a model that does not read pairs.
    """
    late = runtime.late_scores(texts, grids, embeddings).ravel()
    return late, runtime.match(texts, grids, late) if runtime.reads_pairs else np.full_like(late, np.nan)
