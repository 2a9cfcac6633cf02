"""Measures a model as it searches: both stages, both directions, equal scores counted against it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import UsageError
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.search.runtime import Floats, Runtime
from pixsearch_trainer.data.pairs import Captions
from pixsearch_trainer.evaluation.encoding import EncodedPictures
from pixsearch_trainer.evaluation.recall import Direction, Evaluation, Recall, nearest_items, rank_of_first_match

_TIMED_QUERIES = 5

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Search:
    """One direction of a search: queries and items are given by their indices among captions and pictures."""

    pairs: Floats  # logits [captions, pictures] of those matched so far; the other direction has the same
    rows_of: Callable[[NDArray[Any]], NDArray[Any]]  # such a table with a row for each query: itself, or transposed
    queries: Indices
    similarity: Floats  # [queries, items]
    matches: NDArray[np.bool_]  # [queries, items], True where the item answers the query
    find: Callable[[int], Floats]  # the first stage for one query alone: similarities [items]
    match: Callable[[int, Indices], Floats]  # one query with items [n]: ITM logits [n]


def searches(runtime: Runtime, encoded: EncodedPictures, sample: int | None, seed: int) -> tuple[Search, Search]:
    """Return text to image and image to text, each with `sample` queries at random, or all of them for None."""
    has, embeddings, grids = Captions.of(encoded.pictures), encoded.embeddings, encoded.grids
    sentences, texts = has.sentences, np.stack([encoded.texts[sentence] for sentence in has.sentences])
    similarity, matches = texts @ embeddings.T, has.matches()  # [captions, pictures]
    captions, pictures = (
        np.array(sorted(random.Random(seed).sample(range(count), min(sample or count, count))))
        for count in similarity.shape
    )
    pairs = np.empty(similarity.shape, np.float32)
    return Search(
        pairs,
        lambda table: table,
        captions,
        similarity[captions],
        matches[captions],
        lambda caption: embeddings @ runtime.embed_texts([sentences[caption]])[0],
        lambda caption, items: runtime.match(sentences[caption], [grids[item] for item in items], embeddings[items]),
    ), Search(
        pairs,
        np.transpose,
        pictures,
        similarity.T[pictures],
        matches.T[pictures],
        lambda picture: texts @ embeddings[picture],
        lambda picture, items: runtime.match_texts([sentences[i] for i in items], grids[picture], embeddings[picture]),
    )


def match_all(every: Sequence[Search], items: Sequence[Indices], on_progress: ProgressCallback) -> list[Floats]:
    """Return the logits of each search's queries with items [queries, n], which are given for each search.

    A pair that both directions of a part look at is matched once.
    """
    missing = {id(search.pairs): np.zeros(search.pairs.shape, np.bool_) for search in every}
    for search, chosen in zip(every, items, strict=True):
        search.rows_of(missing[id(search.pairs)])[search.queries[:, np.newaxis], chosen] = True
    done, total = 0, sum(int(table.sum()) for table in missing.values())
    logits = []
    for search, chosen in zip(every, items, strict=True):
        scores, absent = search.rows_of(search.pairs), search.rows_of(missing[id(search.pairs)])
        for query, row in zip(search.queries.tolist(), chosen, strict=True):
            if (new := row[absent[query, row]]).size:
                scores[query, new] = search.match(query, new)
                absent[query, new] = False
                done += len(new)
                on_progress(Progress("matching pairs", done, total))
        logits.append(scores[search.queries[:, np.newaxis], chosen])
    return logits


def evaluate(
    runtime: Runtime,
    encoded: EncodedPictures,
    candidates: Sequence[int] = (32,),
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
        candidates: how many of the first stage's are re-ranked; several cost no more than the largest.
        sample: so many queries at random in each direction, against all items; None for all.
        full: re-rank all items too; their number is then among the candidates.
        timed: measure how long a query takes, too.
        folds: cut the pictures into so many equal parts, in their order; a query searches its own part (COCO's 1K).

    Raises:
        UsageError: there are no pictures, or they cannot be cut into so many equal parts.
    """
    pictures = len(encoded.grids)
    if not pictures:
        raise UsageError("there is no picture to evaluate on", "Name another --split or another --data")
    if pictures % folds:
        raise UsageError(f"{pictures:,} pictures are not {folds} equal folds", "Give another number as --folds")
    parts = [slice(start, start + pictures // folds) for start in range(0, pictures, pictures // folds)]
    found = [searches(runtime, encoded.part(part), sample, seed) for part in parts]
    every = [search for direction in zip(*found, strict=True) for search in direction]
    most = None if full else max(candidates, default=0)
    nearest = [nearest_items(search.similarity, search.matches, most) for search in every]
    logits = match_all(every, nearest, on_progress)

    def direction(here: slice) -> Direction:
        recalls = {}
        for k in (0, *candidates, *([None] if full else [])):
            ranks = list(map(_ranks, every[here], nearest[here], logits[here], [k] * folds))
            milliseconds = _milliseconds(every[here][0], k) if timed else None
            recalls[nearest[here][0].shape[1] if k is None else k] = Recall.of(np.concatenate(ranks), milliseconds)
        return Direction(recalls.pop(0), recalls)

    captions = sum(to_text.similarity.shape[1] for _, to_text in found)
    return Evaluation(pictures, captions, direction(slice(folds)), direction(slice(folds, None)))


def _ranks(search: Search, nearest: Indices, logits: Floats, k: int | None) -> Indices:
    """The rank of each query's best right answer once k candidates are re-ranked; None is for all."""
    ranks = rank_of_first_match(search.similarity, search.matches)
    matches = np.take_along_axis(search.matches, nearest, 1)
    found = matches[:, :k].any(1)
    # A right answer that is not among the candidates keeps the rank of the first stage, which is behind them.
    ranks[found] = rank_of_first_match(logits[found, :k], matches[found, :k])
    return ranks


def _milliseconds(search: Search, k: int | None) -> float:
    """The median time of some queries, each alone; k items are re-ranked."""
    taken = []
    for query in search.queries[:_TIMED_QUERIES].tolist():
        started = time.perf_counter()
        items = np.argsort(-search.find(query))[:k]
        if items.size:
            search.match(query, items)
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)
