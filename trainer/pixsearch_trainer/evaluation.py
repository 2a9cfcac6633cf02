"""Recall@k of both directions, by the first stage and after the re-rank (DESIGN: equal scores count against us)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixsearch.errors import UsageError
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.runtime import autocast
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.losses import rank_of_first_match

_PAIRS_A_BATCH = 64
_EMBEDDINGS_A_BATCH = 256


@dataclass(frozen=True)
class Recall:
    """Percent of queries whose right answer is among the first 1, 5, 10, and the median of its rank."""

    r1: float
    r5: float
    r10: float
    median_rank: float

    @classmethod
    def of(cls, ranks: Tensor) -> Recall:
        """From the rank, counted from 1, of each query's best right answer [queries]."""
        r1, r5, r10 = (100 * (ranks <= k).float().mean().item() for k in (1, 5, 10))
        return cls(r1, r5, r10, median_rank=float(np.median(ranks.numpy())))

    def as_json(self) -> dict[str, float]:
        values = {"r@1": self.r1, "r@5": self.r5, "r@10": self.r10, "median_rank": self.median_rank}
        return {name: round(value, 2) for name, value in values.items()}


@dataclass(frozen=True)
class Direction:
    """The figures of text->image or image->text."""

    first_stage: Recall
    reranked: dict[int, Recall]
    """By number of candidates."""

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


@torch.no_grad()
def evaluate(
    model: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    grids: GridStore,
    candidates: Sequence[int] = (64,),
    sample: int | None = None,
    seed: int = 0,
    on_progress: ProgressCallback = silent,
) -> Evaluation:
    """Measure both directions on pictures and their captions.

    Args:
        grids: of the pictures, in their order.
        candidates: how many of the first stage's are re-ranked; several cost no more than the largest.
        sample: so many queries at random in each direction, against all items; None for all.

    Raises:
        UsageError: no pictures.
    """
    if not pictures:
        raise UsageError("there is no picture to evaluate on", "Name another --split or another --data")
    captions = Captions.of(pictures)
    matches = captions.matches()
    scorer = PairScorer(model, processor, captions.sentences, grids)
    similarity = scorer.similarity()  # [captions, pictures]
    return Evaluation(
        len(pictures),
        len(captions.sentences),
        _direction(similarity, matches, scorer.match, candidates, sample, seed, on_progress),
        _direction(
            similarity.T,
            matches.T,
            lambda pictures, captions: scorer.match(captions, pictures),
            candidates,
            sample,
            seed,
            on_progress,
        ),
    )


class PairScorer:
    """Scores captions with pictures, both given by their places."""

    def __init__(
        self,
        model: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        sentences: Sequence[str],
        grids: GridStore,
    ) -> None:
        self._model, self._processor, self._sentences, self._grids = model, processor, sentences, grids
        self._device = next(model.parameters()).device
        batch = _EMBEDDINGS_A_BATCH
        with autocast(self._device):
            texts = [model.embed_text(*self._words(sentences[i : i + batch])) for i in range(0, len(sentences), batch)]
            images = [
                model.embed_image(*self._grid(range(i, min(i + batch, len(grids)))))
                for i in range(0, len(grids), batch)
            ]
        self._texts, self._images = torch.cat(texts).float(), torch.cat(images).float()

    def similarity(self) -> Tensor:
        """[captions, pictures] on the CPU."""
        return (self._texts @ self._images.T).cpu()

    def match(self, captions: Tensor, pictures: Tensor) -> Tensor:
        """ITM logits [n] of captions [n] with pictures [n]."""
        logits = []
        for texts, images in zip(captions.split(_PAIRS_A_BATCH), pictures.split(_PAIRS_A_BATCH), strict=True):
            ids, mask = self._words([self._sentences[place] for place in texts.tolist()])
            grid, pixel_mask = self._grid(images.tolist())
            similarity = (self._texts[texts] * self._images[images]).sum(1)
            with autocast(self._device):
                logits.append(self._model.match(ids, mask, grid, similarity, pixel_mask).float().cpu())
        return torch.cat(logits)

    def _grid(self, pictures: Sequence[int]) -> tuple[Tensor, Tensor]:
        grid, pixel_mask = self._grids.read(pictures)
        return grid.to(self._device), pixel_mask.to(self._device)

    def _words(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
        ids, mask = self._processor.words(sentences)
        return ids.to(self._device), mask.to(self._device)


def _direction(
    similarity: Tensor,
    matches: Tensor,
    match: Callable[[Tensor, Tensor], Tensor],
    candidates: Sequence[int],
    sample: int | None,
    seed: int,
    on_progress: ProgressCallback,
) -> Direction:
    """Rank items for queries: similarity and matches [queries, items]; `match` scores places of queries with items."""
    queries = list(range(len(similarity)))
    if sample is not None and sample < len(queries):
        queries = sorted(random.Random(seed).sample(queries, sample))
    similarity, matches = similarity[queries], matches[queries]
    first_stage = rank_of_first_match(similarity, matches)
    if not candidates:
        return Direction(Recall.of(first_stage), {})
    most = min(max(candidates), similarity.shape[1])
    order = similarity.argsort(dim=1, descending=True, stable=True)[:, :most]  # [queries, most]
    logits = torch.empty(order.shape)
    for row, query in enumerate(queries):
        logits[row] = match(torch.full((most,), query), order[row])
        on_progress(Progress("re-ranking", row + 1, len(queries)))
    reranked = {}
    for k in candidates:
        among = matches.gather(1, order[:, :k])
        found = among.any(1)
        # What the first stage does not bring among the candidates stays where the first stage has it, behind them.
        ranks = first_stage.clone()
        ranks[found] = rank_of_first_match(logits[found, :k], among[found])
        reranked[k] = Recall.of(ranks)
    return Direction(Recall.of(first_stage), reranked)
