"""The ranks of correct answers, and evaluation metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def rank_of_first_match(scores: NDArray[np.float32], matches: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rank, from 1, of each query's best match; items with an equal score or NaN count as ranked before it.

    Both arrays are [queries, items]; `matches` is True where the item answers the query, at least once per query.
    """
    best = np.where(matches, scores, -np.inf).max(1, keepdims=True, initial=-np.inf)
    # Not `scores >= best`, which would rank every answer of a model that returns NaN first.
    return np.asarray((~(scores < best) & ~matches).sum(1) + 1)


def nearest_items(similarity: NDArray[np.float32], matches: NDArray[np.bool_], k: int | None) -> NDArray[np.int64]:
    """Return the indices of the k most similar items [queries, k], the nearest first; None returns all items.

    Among equally similar items a match comes last; a match with a similarity of NaN comes after all others.
    """
    against = np.where(matches, -np.inf, np.inf)
    return np.lexsort((matches, -np.where(np.isnan(similarity), against, similarity)))[:, :k]


@dataclass(frozen=True)
class Recall:
    """The percentages of queries with a right answer among the first 1, 5 and 10 items, and its median rank."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    milliseconds: float | None = field(default=None, compare=False)
    """The time of a single query through all stages; None if it was not measured."""

    @classmethod
    def of(cls, ranks: NDArray[np.int64], milliseconds: float | None = None) -> Recall:
        """Compute the figures from the ranks, counted from 1, of the queries' best right answers [queries]."""
        r1, r5, r10 = (100 * float((ranks <= k).mean()) for k in (1, 5, 10))
        return cls(r1, r5, r10, float(np.median(ranks)), milliseconds)

    def as_json(self) -> dict[str, float]:
        values = {"r@1": self.r1, "r@5": self.r5, "r@10": self.r10, "median_rank": self.median_rank}
        if self.milliseconds is not None:
            values["milliseconds"] = self.milliseconds
        return {name: round(value, 2) for name, value in values.items()}


@dataclass(frozen=True)
class Direction:
    """The figures of text to image or image to text: of the first stage, and re-ranked by number of candidates."""

    first_stage: Recall
    reranked: dict[int, Recall]

    def as_json(self) -> dict[str, object]:
        reranked = {str(k): recall.as_json() for k, recall in self.reranked.items()}
        return {"first_stage": self.first_stage.as_json(), "reranked": reranked}


@dataclass(frozen=True)
class Evaluation:
    """The figures of a checkpoint on pictures and their captions, with the numbers of both."""

    pictures: int
    captions: int
    text_to_image: Direction
    image_to_text: Direction

    def as_json(self) -> dict[str, object]:
        return {"text_to_image": self.text_to_image.as_json(), "image_to_text": self.image_to_text.as_json()}
