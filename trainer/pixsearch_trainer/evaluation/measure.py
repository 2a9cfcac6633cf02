"""Measure the recall of a model's search, in both stages and both directions. Ties count against the model."""

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
from pixsearch.model.late_scores import ReadText
from pixsearch.printable import plural
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.search.cascade import best_by_late, ordered_by_late
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch.search.runtime import Floats, Runtime
from pixsearch_trainer.data.pairs import Captions
from pixsearch_trainer.evaluation.encoding import EncodedPictures
from pixsearch_trainer.evaluation.recall import Direction, Evaluation, Recall, nearest_items, rank_of_first_match

_TIMED_QUERIES = 5
_ITEMS_AT_ONCE = 256

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of an evaluation."""

    candidates: Sequence[int] = (DEFAULT_CANDIDATES,)
    """The numbers of items that the joint stream reads per query, as in a search. Measuring several takes little longer
    than measuring only the largest."""
    sample: int | None = None
    """The number of random queries in each direction; None for all queries. Each query searches all items."""
    seed: int = 0
    full: bool = False
    """True to also measure with the joint stream reading all items. The result is keyed by the number of items."""
    timed: bool = False
    """True to also measure the time per query."""
    folds: int = 1
    """The number of equal parts into which the pictures are split; each query searches its own part (COCO 1K)."""


_DEFAULTS = EvaluationOptions()


@dataclass(frozen=True)
class Search:
    """One direction of a search. Queries and items are indices of captions and pictures, or vice versa."""

    pairs: Floats  # logits [captions, pictures], NaN for pairs not yet matched; shared by both directions
    rows_of: Callable[[NDArray[Any]], NDArray[Any]]  # transposes a table like `pairs` if its rows are not queries
    queries: Indices
    similarity: Floats  # [queries, items]
    matches: NDArray[np.bool_]  # [queries, items], True where the item answers the query
    find: Callable[[int], Floats]  # runs the first stage for a query; returns similarities [items]
    read: Callable[[Indices], object]  # loads items as a search does before the second stage; used for timing
    late: Callable[[int, Indices], Floats]  # returns late scores [n] of a query with items [n]
    match: Callable[
        [int, Indices, Floats], Floats
    ]  # returns ITM logits [n] of a query with items [n], given late scores [n]


def searches(runtime: Runtime, encoded: EncodedPictures, sample: int | None, seed: int) -> tuple[Search, Search]:
    """Return the searches for text to image and image to text, with `sample` random queries each, or all if None."""
    distinct, embeddings, grids = Captions.of(encoded.pictures), encoded.embeddings, encoded.grids
    read = [encoded.texts[sentence] for sentence in distinct.sentences]
    texts = np.stack([text.embedding for text in read])
    similarity, matches = texts @ embeddings.T, distinct.matches()  # [captions, pictures]
    captions, pictures = (
        np.array(sorted(random.Random(seed).sample(range(count), min(sample or count, count))))
        for count in similarity.shape
    )
    pairs = np.full(similarity.shape, np.nan, np.float32)

    def late(texts: Sequence[ReadText], pictures: Indices | list[int]) -> Floats:
        return runtime.late_scores(texts, [grids[picture] for picture in pictures], embeddings[pictures])

    def match(captions: Indices | list[int], pictures: Indices | list[int], late_scores: Floats) -> Floats:
        return runtime.match([read[caption] for caption in captions], [grids[one] for one in pictures], late_scores)

    return Search(
        pairs,
        lambda table: table,
        captions,
        similarity[captions],
        matches[captions],
        lambda caption: embeddings @ runtime.read_texts([distinct.sentences[caption]])[0].embedding,
        lambda _: None,
        lambda caption, items: late([read[caption]], items)[0],
        lambda caption, items, late_scores: match([caption], items, late_scores),
    ), Search(
        pairs,
        np.transpose,
        pictures,
        similarity.T[pictures],
        matches.T[pictures],
        lambda picture: texts @ embeddings[picture],
        lambda items: runtime.read_texts([distinct.sentences[item] for item in items]),
        lambda picture, items: late([read[item] for item in items], [picture])[:, 0],
        lambda picture, items, late_scores: match(items, [picture], late_scores),
    )


@dataclass(frozen=True)
class Scored:
    """The scores of the second stage for the nearest items of each query [queries, items]."""

    nearest: Indices
    late: Floats
    logits: Floats  # NaN where the joint stream did not read the pair

    def first(self, count: int) -> Scored:
        """Return the scores of only the `count` nearest items."""
        return Scored(self.nearest[:, :count], self.late[:, :count], self.logits[:, :count])


def score(search: Search, nearest: Indices, ks: Sequence[int], on_query: Callable[[], None]) -> Scored:
    """Run the second stage on the nearest items [queries, n].

    The joint stream reads the items that a search would choose for each k. Logits from either direction are reused.
    """
    late = np.empty(nearest.shape, np.float32)
    logits = np.full(nearest.shape, np.nan, np.float32)
    table = search.rows_of(search.pairs)
    for row, (query, items) in enumerate(zip(search.queries.tolist(), nearest, strict=True)):
        for start in range(0, len(items), _ITEMS_AT_ONCE):
            late[row, start : start + _ITEMS_AT_ONCE] = search.late(query, items[start : start + _ITEMS_AT_ONCE])
        chosen = np.unique(np.concatenate([best_by_late(late[row, : ordered_by_late(k)])[:k] for k in ks]))
        new = chosen[np.isnan(table[query, items[chosen]])]
        for start in range(0, len(new), _ITEMS_AT_ONCE):
            some = new[start : start + _ITEMS_AT_ONCE]
            table[query, items[some]] = search.match(query, items[some], late[row, some])
        logits[row, chosen] = table[query, items[chosen]]
        on_query()
    return Scored(nearest, late, logits)


def evaluate(
    runtime: Runtime,
    encoded: EncodedPictures,
    options: EvaluationOptions = _DEFAULTS,
    on_progress: ProgressCallback = silent,
) -> Evaluation:
    """Measure both directions on pictures and their captions.

    Raises UsageError if there are no pictures, or if they cannot be split into equal folds.
    """
    candidates, sample, seed, folds, full = (
        options.candidates,
        options.sample,
        options.seed,
        options.folds,
        options.full,
    )
    pictures = len(encoded.grids)
    if not pictures:
        raise UsageError("no pictures to evaluate", "Choose a different --split or --data")
    if pictures % folds:
        raise UsageError(
            f"cannot split {plural(pictures, 'picture')} into {folds} equal folds",
            "Choose a different number of --folds",
        )
    parts = [slice(start, start + pictures // folds) for start in range(0, pictures, pictures // folds)]
    found = [searches(runtime, encoded.part(part), sample, seed) for part in parts]
    every = [search for direction in zip(*found, strict=True) for search in direction]
    most = max(map(ordered_by_late, candidates), default=0)
    scored, done = list[Scored](), 0
    total = sum(len(search.queries) for search in every)

    def count() -> None:
        nonlocal done
        done += 1
        on_progress(Progress("re-ranking queries", done, total))

    for search in every:
        nearest = nearest_items(search.similarity, search.matches, None if full else most)
        ks = [*candidates, *([nearest.shape[1]] if full else [])]
        nothing = np.empty(nearest.shape, np.float32)
        scored.append(score(search, nearest, ks, count) if ks else Scored(nearest, nothing, nothing))

    def direction(here: slice) -> Direction:
        recalls = {}
        # Folds may have different numbers of captions.
        every_item = [max(one.nearest.shape[1] for one in scored[here])] if full else []
        for k in (0, *candidates, *every_item):
            cut = [one.first(ordered_by_late(k) if k else 0) for one in scored[here]]
            ranks = [cascade_ranks(*one, k) for one in zip(every[here], cut, strict=True)]
            milliseconds = _milliseconds(every[here][0], k) if options.timed else None
            recalls[k] = Recall.of(np.concatenate(ranks), milliseconds)
        return Direction(recalls.pop(0), recalls)

    captions = sum(to_text.similarity.shape[1] for _, to_text in found)
    return Evaluation(pictures, captions, direction(slice(folds)), direction(slice(folds, None)))


def cascade_ranks(search: Search, scored: Scored, k: int) -> Indices:
    """Return the rank of each query's best right answer when the joint stream reads k items.

    The joint stream reads the items with the best late scores. If k is 0, return the rank in the first stage.
    """
    # The last stage that scored an answer determines its rank, because each stage's items come before all others.
    ranks = rank_of_first_match(search.similarity, search.matches)
    matches = np.take_along_axis(search.matches, scored.nearest, 1)
    ordered = matches.any(1)
    ranks[ordered] = rank_of_first_match(scored.late[ordered], matches[ordered])
    chosen = np.stack([best_by_late(row)[:k] for row in scored.late])
    matches, logits = np.take_along_axis(matches, chosen, 1), np.take_along_axis(scored.logits, chosen, 1)
    read = matches.any(1)
    ranks[read] = rank_of_first_match(logits[read], matches[read])
    return ranks


def _milliseconds(search: Search, k: int) -> float:
    """Return the median time of a query when the joint stream reads k items, in milliseconds."""
    taken = []
    for query in search.queries[:_TIMED_QUERIES].tolist():
        started = time.perf_counter()
        items = np.argsort(-search.find(query))[: ordered_by_late(k)]
        if k:
            search.read(items)
            late = search.late(query, items)
            chosen = best_by_late(late)[:k]
            search.match(query, items[chosen], late[chosen])
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)
