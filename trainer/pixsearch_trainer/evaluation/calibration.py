"""The probability that a pair matches, from its ITM logit: Platt's scaling, on the pairs that a search looks at.

Platt, "Probabilistic outputs for support vector machines" (1999). The bins and the expected calibration error are those
of Guo et al., "On calibration of modern neural networks" (2017, arXiv 1706.04599).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import UsageError
from pixsearch.model.config import Calibration
from pixsearch.progress import ProgressCallback, silent
from pixsearch.search.runtime import Floats, Runtime
from pixsearch_trainer.evaluation.encoding import EncodedPictures
from pixsearch_trainer.evaluation.judged import JudgedSearch
from pixsearch_trainer.evaluation.measure import match_all, searches
from pixsearch_trainer.evaluation.recall import nearest_items

_BINS = 10

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose probability lies between two tenths: its mean, the share that matches, and their number."""

    probability: float
    share: float
    pairs: int


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A calibration, and how well it fits: each half of the captions is judged by a calibration on the other half."""

    calibration: Calibration
    pairs: int
    matching: int
    expected_error: float
    bins: tuple[Bin, ...]


def calibrate(
    runtime: Runtime,
    encoded: EncodedPictures,
    candidates: int,
    sample: int | None = None,
    seed: int = 0,
    on_progress: ProgressCallback = silent,
) -> CalibrationReport:
    """Fit temperature and bias on captions, each with its nearest pictures, a right one among them.

    `sample` captions are drawn at random, or all for None. Raises UsageError for too few pictures or captions, or for
    logits that are no higher where a pair matches.
    """
    if min(len(encoded.pictures), len(encoded.texts), sample or 2) < 2:
        raise UsageError("there is too little to calibrate on", "Give at least two pictures with captions")
    search, _ = searches(runtime, encoded, sample, seed)
    nearest = nearest_items(search.similarity, search.matches, candidates)
    order = with_a_match(nearest, search.similarity, search.matches)
    [logits] = match_all([search], [order], on_progress)  # [captions, candidates]
    labels = np.take_along_axis(search.matches, order, 1)
    first, second = slice(len(logits) // 2), slice(len(logits) // 2, None)
    judged = [probabilities(logits[a], fit(logits[b], labels[b])) for a, b in ((first, second), (second, first))]
    error, bins = reliability(np.concatenate(judged).ravel(), labels.ravel())
    return CalibrationReport(fit(logits, labels), labels.size, int(labels.sum()), error, bins)


def with_a_match(order: NDArray[np.int64], similarity: Floats, matches: Bools) -> NDArray[np.int64]:
    """Return the candidates [queries, k], the last replaced by the nearest match where none of them matches."""
    without = ~np.take_along_axis(matches, order, 1).any(1)
    order = order.copy()
    order[without, -1] = np.where(matches, similarity, -np.inf)[without].argmax(1)
    return order


def fit(logits: NDArray[np.floating], labels: Bools) -> Calibration:
    """Return the temperature and bias under which labels are most likely, by Newton's method; both of the same shape.

    Raises UsageError where pairs that match have no higher logits than others.
    """
    values, labels = logits.ravel().astype(np.float64), labels.ravel()
    matching = labels.sum()
    # Platt's targets: not quite 1 and 0, lest pairs that can be told apart without a mistake make it certain of all.
    targets = np.where(labels, (matching + 1) / (matching + 2), 1 / (len(labels) - matching + 2))
    mean, spread = values.mean(), max(values.std(), 1e-9)
    inputs = np.stack([(values - mean) / spread, np.ones_like(values)])  # [2, pairs]

    def loss(weights: Doubles) -> float:
        return float((np.logaddexp(0, weights @ inputs) - targets * (weights @ inputs)).mean())

    weights = np.zeros(2)
    for _ in range(50):
        predicted = _sigmoid(weights @ inputs)
        hessian = (inputs * predicted * (1 - predicted)) @ inputs.T / len(targets) + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, inputs @ (predicted - targets) / len(targets))
        while abs(step).max() > 1e-12 and loss(weights - step) > loss(weights):
            step /= 2
        weights -= step
    slope = weights[0] / spread
    if not slope > 1e-6:
        hint = "Train the re-ranker first; until then order by similarity"
        raise UsageError("the match logits are no higher where words and picture belong together", hint)
    return Calibration(temperature=float(1 / slope), bias=float(weights[1] - slope * mean))


def probabilities(logits: NDArray[np.floating], calibration: Calibration) -> Doubles:
    """Return the probability of each logit."""
    return _sigmoid(logits.astype(np.float64) / calibration.temperature + calibration.bias)


def _sigmoid(values: Doubles) -> Doubles:
    return (1 + np.tanh(values / 2)) / 2  # overflows nowhere


def reliability(predicted: Doubles, labels: Bools) -> tuple[float, tuple[Bin, ...]]:
    """Return the expected calibration error, and the bins with pairs in them, of probabilities and labels [pairs]."""
    indices = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
    bins = tuple(
        Bin(float(predicted[here].mean()), float(labels[here].mean()), int(here.sum()))
        for here in (indices == index for index in np.unique(indices))
    )
    return sum(abs(one.probability - one.share) * one.pairs for one in bins) / len(predicted), bins


_FOLDS = 20


def fit_judged(search: JudgedSearch) -> Calibration:
    """Fit the curve on judged queries and their candidates."""
    return fit(search.logits, search.labels)


def by_queries_left_out(search: JudgedSearch) -> Doubles:
    """Return the probability of each candidate [queries, candidates] by a curve fitted without its query."""
    fold = np.arange(len(search.logits)) % min(_FOLDS, len(search.logits))
    judged = np.empty(search.logits.shape)
    for one in np.unique(fold):
        here = fold == one
        judged[here] = probabilities(search.logits[here], fit_judged(search.part(~here)))
    return judged
