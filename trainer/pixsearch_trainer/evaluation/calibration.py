"""The probability that a person would say that a picture shows what words say, from a score of the pair: its ITM
logit, or that of late interaction.

Platt, "Probabilistic outputs for support vector machines" (1999). The bins and the expected calibration error are those
of Guo et al., "On calibration of modern neural networks" (2017, arXiv 1706.04599).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import UsageError
from pixsearch.model.config import Calibration, Curve, Stage
from pixsearch.search.hits import LIKELY_FROM
from pixsearch_trainer.evaluation.known_pairs import KnownPairs

_BINS = 10
_FOLDS = 20
_TRADE_OFFS = tuple(tenth / 10 for tenth in range(1, 10))

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose probability lies between two tenths: its mean, the share that is right, and their number."""

    probability: float
    share: float
    pairs: int


@dataclass(frozen=True, slots=True)
class TradeOff:
    """What becomes of queries where only pictures of a probability are shown."""

    probability: float
    answered: int
    """Queries that some picture is right for, and whose first is shown and right."""
    refused: int
    """Queries that no picture is right for, and none is shown."""


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A stage's curve, and how well it fits pairs that it was not fitted on: whole queries are left out in turn."""

    curve: Curve
    pairs: int
    right: int
    present: int
    """Queries that some picture is right for."""
    absent: int
    log_loss: float
    expected_error: float
    bins: tuple[Bin, ...]
    likely: int
    """Pairs at 0.5 and above."""
    likely_right: float | None
    """The share of them that is right; None where there are none."""
    likely_said: float | None
    """Their mean probability."""
    trade_off: tuple[TradeOff, ...]


def calibrate(pairs: KnownPairs) -> dict[Stage, CalibrationReport]:
    """Fit the curve of each stage that the model has; judge it on each query's pairs by a curve fitted without them.

    Raises:
        UsageError: there are too few pairs, or the scores of a stage are no higher where a pair is right.
    """
    predicted = {stage: predict_left_out(pairs, stage) for stage in pairs.stages}
    return {stage: _report(fit(pairs, stage), pairs, predicted[stage]) for stage in pairs.stages}


def calibration_of(reports: Mapping[Stage, CalibrationReport]) -> Calibration:
    """Return the curves, as a checkpoint keeps them."""
    return Calibration(reports["joint"].curve if "joint" in reports else None, reports["late"].curve)


def predict_left_out(pairs: KnownPairs, stage: Stage) -> Doubles:
    """Return the probability of each pair by a curve fitted without its group and every twentieth other one."""
    groups = np.unique(pairs.groups)
    if len(groups) < 2:
        raise UsageError("there is too little to calibrate on", "Provide at least two queries or captioned pictures")
    predicted = np.empty(len(pairs.right))
    fold = np.searchsorted(groups, pairs.groups) % _FOLDS
    for one in np.unique(fold):
        here = fold == one
        predicted[here] = probabilities(pairs.scores(stage)[here], fit(pairs.part(~here), stage))
    return predicted


def fit(pairs: KnownPairs, stage: Stage) -> Curve:
    """Return the slope and intercept under which what is right and wrong is most likely, by Newton's method.

    Raises UsageError if no pair is right, no pair is wrong, or right pairs do not have higher scores than wrong ones.
    """
    if pairs.right.all() or not pairs.right.any():
        raise UsageError("there is too little to calibrate on", "Provide pairs that are right and pairs that are wrong")
    right = (pairs.weights * pairs.right).sum()
    # Platt's targets: not quite 1 and 0, lest pairs that can be told apart without a mistake make it certain of all.
    targets = np.where(pairs.right, (right + 1) / (right + 2), 1 / (pairs.weights.sum() - right + 2))
    scores = pairs.scores(stage)
    mean, spread = scores.mean(), max(scores.std(), 1e-9)
    inputs = np.stack([(scores - mean) / spread, np.ones_like(scores)])  # [2, pairs]
    shares = pairs.weights / pairs.weights.sum()

    def loss(weights: Doubles) -> float:
        return float(((np.logaddexp(0, weights @ inputs) - targets * (weights @ inputs)) * shares).sum())

    weights = np.zeros(2)
    for _ in range(50):
        predicted = _sigmoid(weights @ inputs)
        hessian = (inputs * predicted * (1 - predicted) * shares) @ inputs.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, inputs @ ((predicted - targets) * shares))
        while abs(step).max() > 1e-12 and loss(weights - step) > loss(weights):
            step /= 2
        weights -= step
    slope = weights[0] / spread
    if not slope > 1e-6:
        hint = "Train the re-ranker first; until then order by similarity"
        name = "match logits" if stage == "joint" else "late scores"
        if "joint" not in pairs.stages:
            name, hint = "similarities", "Calibrate on pictures and words that the model knows"
        raise UsageError(f"the {name} are no higher where a picture shows what the words say", hint)
    return Curve(slope=float(slope), intercept=float(weights[1] - slope * mean))


def probabilities(scores: NDArray[np.floating], curve: Curve) -> Doubles:
    """Return the probability of each score."""
    return _sigmoid(scores.astype(np.float64) * curve.slope + curve.intercept)


def _sigmoid(values: Doubles) -> Doubles:
    return (1 + np.tanh(values / 2)) / 2  # overflows nowhere


def _report(curve: Curve, pairs: KnownPairs, predicted: Doubles) -> CalibrationReport:
    """Return how well probabilities [pairs], predicted by curves like this one, fit what is right and wrong."""
    error, bins = reliability(predicted, pairs.right, pairs.weights)
    said = np.clip(np.where(pairs.right, predicted, 1 - predicted), 1e-12, 1)
    likely = predicted >= LIKELY_FROM
    present, absent = (len(np.unique(pairs.queries[here])) for here in (pairs.present, ~pairs.present))
    return CalibrationReport(
        curve,
        len(predicted),
        int(pairs.right.sum()),
        present,
        absent,
        float(-np.average(np.log(said), weights=pairs.weights)),
        error,
        bins,
        int(likely.sum()),
        _mean(pairs.right[likely], pairs.weights[likely]),
        _mean(predicted[likely], pairs.weights[likely]),
        tuple(trade_off(pairs, predicted, least) for least in _TRADE_OFFS),
    )


def _mean(values: Doubles | Bools, weights: Doubles) -> float | None:
    return float(np.average(values, weights=weights)) if values.size else None


def reliability(predicted: Doubles, right: Bools, weights: Doubles) -> tuple[float, tuple[Bin, ...]]:
    """Return the expected calibration error, and the bins with pairs in them, of probabilities [pairs]."""
    indices = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
    error, bins = 0.0, []
    for index in np.unique(indices):
        here = indices == index
        probability, share = (float(np.average(one[here], weights=weights[here])) for one in (predicted, right))
        error += abs(probability - share) * float(weights[here].sum() / weights.sum())
        bins.append(Bin(probability, share, int(here.sum())))
    return error, tuple(bins)


def trade_off(pairs: KnownPairs, predicted: Doubles, least: float) -> TradeOff:
    """Return how many queries are answered and refused where pictures below a probability are left out."""
    # The best pair of each query, its first of equals, stands first.
    order = np.lexsort((-predicted, pairs.queries))
    first = order[np.unique(pairs.queries[order], return_index=True)[1]]
    shown = predicted[first] >= least
    answered = shown & pairs.right[first] & pairs.present[first]
    return TradeOff(least, int(answered.sum()), int((~shown & ~pairs.present[first]).sum()))
