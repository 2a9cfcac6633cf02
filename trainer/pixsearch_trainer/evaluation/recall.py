"""Compute the ranks of right answers and the recall."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def rank_of_first_match(scores: NDArray[np.float32], matches: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rank of each query's best match, starting at 1. Ties and items with NaN rank before the match.

    Both arrays are [queries, items]; `matches` is True where the item matches the query; each query needs a match.
    """
    best = np.where(matches, scores, -np.inf).max(1, keepdims=True, initial=-np.inf)
    # Not `scores >= best`: if a model returned NaN, every answer would rank first.
    return np.asarray((~(scores < best) & ~matches).sum(1) + 1)


def nearest_items(similarity: NDArray[np.float32], matches: NDArray[np.bool_], k: int | None) -> NDArray[np.int64]:
    """Return the indices of the k most similar items [queries, k], nearest first; all items if k is None.

    Among equally similar items, matches come last. Matches with a similarity of NaN come after all other items.
    """
    against = np.where(matches, -np.inf, np.inf)
    return np.lexsort((matches, -np.where(np.isnan(similarity), against, similarity)))[:, :k]


@dataclass(frozen=True)
class Recall:
    """The percentages of queries with a right answer among the first 1, 5 and 10 items, and the median rank."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    milliseconds: float | None = field(default=None, compare=False)
    """The time of one query through all stages; None if not measured."""

    @classmethod
    def of(cls, ranks: NDArray[np.int64], milliseconds: float | None = None) -> Recall:
        """Compute the recall from the rank of each query's best right answer, starting at 1 [queries]."""
        r1, r5, r10 = (100 * float((ranks <= k).mean()) for k in (1, 5, 10))
        return cls(r1, r5, r10, float(np.median(ranks)), milliseconds)

    def as_json(self) -> dict[str, float]:
        values = {"r@1": self.r1, "r@5": self.r5, "r@10": self.r10, "median_rank": self.median_rank}
        if self.milliseconds is not None:
            values["milliseconds"] = self.milliseconds
        return {name: round(value, 2) for name, value in values.items()}


@dataclass(frozen=True)
class Direction:
    """The recall from text to image or image to text: in the first stage, and re-ranked, by number of candidates."""

    first_stage: Recall
    reranked: dict[int, Recall]

    def as_json(self) -> dict[str, object]:
        reranked = {str(k): recall.as_json() for k, recall in self.reranked.items()}
        return {"first_stage": self.first_stage.as_json(), "reranked": reranked}


@dataclass(frozen=True)
class Evaluation:
    """The recall of a checkpoint in both directions, with the numbers of pictures and captions."""

    pictures: int
    captions: int
    text_to_image: Direction
    image_to_text: Direction

    def as_json(self) -> dict[str, object]:
        return {"text_to_image": self.text_to_image.as_json(), "image_to_text": self.image_to_text.as_json()}
