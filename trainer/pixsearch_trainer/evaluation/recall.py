"""The figures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Recall:
    """Percent of queries whose right answer is among the first 1, 5, 10, and the median of its rank."""

    r1: float
    r5: float
    r10: float
    median_rank: float
    milliseconds: float | None = field(default=None, compare=False)
    """That a query alone took, all stages together; None where it was not timed."""

    @classmethod
    def of(cls, ranks: Tensor, milliseconds: float | None = None) -> Recall:
        """From the rank, counted from 1, of each query's best right answer [queries]."""
        r1, r5, r10 = (100 * (ranks <= k).float().mean().item() for k in (1, 5, 10))
        return cls(r1, r5, r10, float(np.median(ranks.numpy())), milliseconds)

    @classmethod
    def mean(cls, recalls: Sequence[Recall]) -> Recall:
        """Figure by figure."""
        r1, r5, r10, rank = np.mean([(one.r1, one.r5, one.r10, one.median_rank) for one in recalls], axis=0).tolist()
        times = [one.milliseconds for one in recalls if one.milliseconds is not None]
        return cls(r1, r5, r10, rank, float(np.mean(times)) if times else None)

    def as_json(self) -> dict[str, float]:
        values = {"r@1": self.r1, "r@5": self.r5, "r@10": self.r10, "median_rank": self.median_rank}
        if self.milliseconds is not None:
            values["milliseconds"] = self.milliseconds
        return {name: round(value, 2) for name, value in values.items()}


@dataclass(frozen=True)
class Direction:
    """The figures of text->image or image->text."""

    first_stage: Recall
    reranked: dict[int, Recall]
    """By number of candidates."""

    @classmethod
    def mean(cls, directions: Sequence[Direction]) -> Direction:
        """Figure by figure, for the numbers of candidates that all have."""
        common = [k for k in directions[0].reranked if all(k in one.reranked for one in directions)]
        reranked = {k: Recall.mean([one.reranked[k] for one in directions]) for k in common}
        return cls(Recall.mean([one.first_stage for one in directions]), reranked)

    def as_json(self) -> dict[str, object]:
        reranked = {str(candidates): recall.as_json() for candidates, recall in self.reranked.items()}
        return {"first_stage": self.first_stage.as_json(), "reranked": reranked}


@dataclass(frozen=True)
class Evaluation:
    """What a checkpoint reaches on a data set."""

    pictures: int
    captions: int
    text_to_image: Direction
    image_to_text: Direction

    def as_json(self) -> dict[str, object]:
        return {"text_to_image": self.text_to_image.as_json(), "image_to_text": self.image_to_text.as_json()}
