"""The second stage: late interaction ranks the candidates, and the joint Transformer re-ranks the best few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixsearch.model.late_scores import ReadText
from pixsearch.search.runtime import Floats, Runtime

ORDERED = 64
"""The minimum number of candidates for late interaction. More would barely improve results (docs/experiments.md)."""

Indices = NDArray[np.intp]


def ordered_by_late(candidates: int, hits: int = 0) -> int:
    """Return the number of pictures that late interaction ranks if the joint stream reads `candidates` of them."""
    return max(ORDERED, 2 * candidates, hits)


def best_first(scores: NDArray[np.floating], decimals: int) -> Indices:
    """Return the indices of scores [items], best first. Equal scores keep their order.

    Scores are rounded because their last digits depend on the batch size.
    """
    order: Indices = np.argsort(-scores.round(decimals), kind="stable")
    return order


def best_by_late(late: NDArray[np.floating]) -> Indices:
    """Return the indices of late scores [items], best first."""
    return best_first(late, 5)


def best_by_match(logits: Floats) -> Indices:
    """Return the indices of ITM logits [items], best first."""
    return best_first(logits, 4)


@dataclass(frozen=True, slots=True)
class CascadeScores:
    """The scores of each candidate for each part of a query, and the resulting order."""

    late: Floats  # [parts, items]
    logits: Floats  # [parts, items], NaN if the pair was not read
    match: Floats  # [items], the weighted sum of the logits
    order: Indices  # [items], best first: the items that were read, by match, then the others, by late score
    read: NDArray[np.bool_]  # [items], True if the item was read

    def match_of(self, index: int) -> float | None:
        """Return the match of an item, or None if it was not read."""
        return float(self.match[index]) if self.read[index] else None


def cascade(
    late: Floats,
    weights: Sequence[float],
    candidates: int,
    match: Callable[[Indices], Floats],
    prefer: Callable[[Floats], NDArray[np.floating]] | None = None,
) -> CascadeScores:
    """Read the items with the best late scores, and sort them by match. Unreadable items keep their rank.

    Args:
        late: the late scores [parts, items], with the items in the order of the first stage.
        weights: the weight of each part [parts].
        candidates: the number of items to read; 0 for a model that does not read pairs.
        match: takes item indices and returns the logits of all parts [parts, indices], NaN for unreadable items.
        prefer: takes late scores [parts, items] and returns the scores [items] used to choose the items to read.
            By default, items are chosen by the weighted sum of their late scores.
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
    """Run the second stage: score pictures, given as grids and embeddings, for weighted texts.

    If `read` is given, it replaces the runtime's joint stream. It has the same signature as `match` in `cascade`.
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
    """Run the second stage: score texts for weighted pictures."""
    read = runtime.read_texts(texts)
    late = runtime.late_scores(read, grids, embeddings).T

    def match(indices: Indices) -> Floats:
        chosen = [read[index] for index in indices]
        return np.stack([runtime.match(chosen, [grid], late[part, indices]) for part, grid in enumerate(grids)])

    return cascade(late, weights, candidates, match)


def read_every_pair(
    runtime: Runtime, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats
) -> tuple[Floats, Floats]:
    """Return the late scores and ITM logits [pairs] for one text and many pictures, or many texts and one picture.

    The logits are NaN for a model that does not read pairs.
    """
    late = runtime.late_scores(texts, grids, embeddings).ravel()
    return late, runtime.match(texts, grids, late) if runtime.reads_pairs else np.full_like(late, np.nan)
