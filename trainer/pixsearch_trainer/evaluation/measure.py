"""Measures a model as it searches: both stages, both directions, equal scores counted against it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixsearch.errors import UsageError
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.evaluation.recall import Direction, Evaluation, Recall
from pixsearch_trainer.evaluation.scoring import PairScorer
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.losses import rank_of_first_match

_TIMED_QUERIES = 5
_PAIRS_AT_ONCE = 1 << 14


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
    *,
    full: bool = False,
    timed: bool = False,
    folds: int = 1,
) -> Evaluation:
    """Measure both directions on pictures and their captions.

    Args:
        grids: of the pictures, in their order.
        candidates: how many of the first stage's are re-ranked; several cost no more than the largest.
        sample: so many queries at random in each direction, against all items; None for all.
        full: re-rank all items too; their number then stands among the candidates.
        timed: say how long a query takes as well.
        folds: measure so many equal parts of the pictures, in their order, each by itself, and give the mean (COCO's 5
            folds of 1K).

    Raises:
        UsageError: no pictures, or they cannot be cut into so many equal parts.
    """
    if not pictures:
        raise UsageError("there is no picture to evaluate on", "Name another --split or another --data")
    size, rest = divmod(len(pictures), folds)
    if rest or not size:
        raise UsageError(f"{len(pictures):,} pictures are not {folds} equal folds", "Give another number as --folds")
    captions, to_images, to_texts = 0, list[Direction](), list[Direction]()
    for start in range(0, len(pictures), size):
        here = slice(start, start + size)
        of_fold = Captions.of(pictures[here])
        captions += len(of_fold.sentences)
        scorer = PairScorer(model, processor, of_fold.sentences, grids.part(here))
        for search, directions in zip(_searches(scorer, of_fold.matches()), (to_images, to_texts), strict=True):
            every = (search.similarity.shape[1],) if full else ()
            directions.append(_measure(search, [*candidates, *every], sample, seed, timed, on_progress))
    return Evaluation(len(pictures), captions, Direction.mean(to_images), Direction.mean(to_texts))


@dataclass(frozen=True)
class _Search:
    """One direction."""

    name: str
    similarity: Tensor
    """[queries, items]."""
    matches: Tensor
    """[queries, items], True where the item answers the query."""
    match: Callable[[Tensor, Tensor], Tensor]
    """Places of queries [n] and of items [n] -> ITM logits [n]."""
    find: Callable[[int], Tensor]
    """What the first stage does for one query: items [items], the nearest first."""


def _searches(scorer: PairScorer, matches: Tensor) -> tuple[_Search, _Search]:
    """Text to image and image to text; `matches` is [captions, pictures]."""
    similarity = scorer.similarity()  # [captions, pictures]
    captions, pictures = similarity.shape
    return (
        _Search(
            "text to image", similarity, matches, scorer.match, lambda query: scorer.find_pictures(query, pictures)
        ),
        _Search(
            "image to text",
            similarity.T,
            matches.T,
            lambda pictures, captions: scorer.match(captions, pictures),
            lambda query: scorer.find_captions(query, captions),
        ),
    )


def _measure(
    search: _Search,
    candidates: Sequence[int],
    sample: int | None,
    seed: int,
    timed: bool,
    on_progress: ProgressCallback,
) -> Direction:
    queries = list(range(len(search.similarity)))
    if sample is not None and sample < len(queries):
        queries = sorted(random.Random(seed).sample(queries, sample))
    asked = torch.tensor(queries)
    similarity, matches = search.similarity[asked], search.matches[asked]
    first_stage = rank_of_first_match(similarity, matches)
    milliseconds = _time(search, queries[:_TIMED_QUERIES], candidates) if timed else {}
    reranked = {k: first_stage.clone() for k in candidates}
    most = min(max(candidates, default=0), similarity.shape[1])
    rows_at_once = max(1, _PAIRS_AT_ONCE // max(1, most))
    for rows in torch.arange(len(queries)).split(rows_at_once) if most else ():
        order = nearest_items(similarity[rows], matches[rows], most)
        pairs = asked[rows][:, None].expand_as(order)
        logits = search.match(pairs.flatten(), order.flatten()).view(order.shape)
        for k, ranks in reranked.items():
            among = matches[rows].gather(1, order[:, :k])
            found = among.any(1)
            # What the first stage does not bring among the candidates stays where the first stage has it, behind them.
            ranks[rows[found]] = rank_of_first_match(logits[found, :k], among[found])
        on_progress(Progress(f"re-ranking, {search.name}", int(rows[-1]) + 1, len(queries)))
    return Direction(
        Recall.of(first_stage, milliseconds.get(0)),
        {k: Recall.of(ranks, milliseconds.get(k)) for k, ranks in reranked.items()},
    )


def nearest_items(similarity: Tensor, matches: Tensor, k: int) -> Tensor:
    """The k items of highest similarity, the nearest first; of equal ones a right one comes last, as it does at NaN.

    Args:
        similarity, matches: [queries, items].

    Returns:
        Places [queries, k].
    """
    wrong_first = matches.to(torch.uint8).argsort(dim=1, stable=True)
    against = torch.where(matches, -torch.inf, torch.inf)
    scores = torch.where(similarity.isnan(), against, similarity).gather(1, wrong_first)
    return wrong_first.gather(1, scores.argsort(dim=1, descending=True, stable=True)[:, :k])


def _time(search: _Search, queries: Sequence[int], candidates: Sequence[int]) -> dict[int, float]:
    """Milliseconds of one query alone, the median of some: by number of candidates, 0 for the first stage alone."""
    taken: dict[int, list[float]] = {k: [] for k in (0, *candidates)}
    search.match(torch.tensor(queries[:1]), search.find(queries[0])[:1])  # the first is slower than any other
    for query in queries:
        for k, times in taken.items():
            started = time.perf_counter()
            items = search.find(query)[:k]
            if k:
                search.match(torch.full((len(items),), query), items)
            times.append(1000 * (time.perf_counter() - started))
    return {k: statistics.median(times) for k, times in taken.items()}
