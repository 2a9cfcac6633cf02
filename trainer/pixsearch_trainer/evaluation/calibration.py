"""Fit the curves that turn a score of a text and a picture into a probability that they match.

The score is an ITM logit or a late interaction score, and the probability estimates how likely a person is to judge
that the picture shows what the text describes. The method is Platt scaling (Platt, "Probabilistic outputs for support
vector machines", 1999). The bins and the expected calibration error follow Guo et al., "On calibration of modern neural
networks" (2017, arXiv 1706.04599).
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
    """The pairs in one tenth of the probability range: their mean probability, share of right pairs, and number."""

    probability: float
    share: float
    pairs: int


@dataclass(frozen=True, slots=True)
class TradeOff:
    """The effect of hiding pictures below a probability."""

    probability: float
    answered: int
    """The number of queries with a right picture whose first result is shown and right."""
    refused: int
    """The number of queries without a right picture that have no result."""


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """The curve for a stage, and how well such curves fit held-out pairs.

    All pairs of a query are held out together.
    """

    curve: Curve
    pairs: int
    right: int
    present: int
    """The number of queries with a right picture."""
    absent: int
    """The number of queries without a right picture."""
    log_loss: float
    expected_error: float
    bins: tuple[Bin, ...]
    likely: int
    """The number of pairs with a probability of 0.5 or above."""
    likely_right: float | None
    """The share of likely pairs that are right; None if no pair is likely."""
    likely_said: float | None
    """The mean probability of the likely pairs; None if no pair is likely."""
    trade_off: tuple[TradeOff, ...]


def calibrate(pairs: KnownPairs) -> dict[Stage, CalibrationReport]:
    """Fit a curve for each stage of the model, and evaluate the fit by cross-validation over queries.

    Raises:
        UsageError: there are too few pairs, or right pairs do not score higher than wrong ones.
    """
    predicted = {stage: predict_left_out(pairs, stage) for stage in pairs.stages}
    return {stage: _report(fit(pairs, stage), pairs, predicted[stage]) for stage in pairs.stages}


def calibration_of(reports: Mapping[Stage, CalibrationReport]) -> Calibration:
    """Return the curves in the form in which a checkpoint stores them."""
    return Calibration(reports["joint"].curve if "joint" in reports else None, reports["late"].curve)


def predict_left_out(pairs: KnownPairs, stage: Stage) -> Doubles:
    """Return the cross-validated probability of each pair, holding out a twentieth of the groups at a time."""
    groups = np.unique(pairs.groups)
    if len(groups) < 2:
        raise UsageError("not enough data to calibrate", "Provide at least two queries or captioned pictures")
    predicted = np.empty(len(pairs.right))
    fold = np.searchsorted(groups, pairs.groups) % _FOLDS
    for one in np.unique(fold):
        here = fold == one
        predicted[here] = probabilities(pairs.scores(stage)[here], fit(pairs.part(~here), stage))
    return predicted


def fit(pairs: KnownPairs, stage: Stage) -> Curve:
    """Fit the maximum-likelihood slope and intercept with Newton's method.

    Raises UsageError if no pair is right, no pair is wrong, or right pairs do not score higher than wrong ones.
    """
    if pairs.right.all() or not pairs.right.any():
        raise UsageError("not enough data to calibrate", "Provide both right and wrong pairs")
    right = (pairs.weights * pairs.right).sum()
    # Platt's targets are slightly less than 1 and more than 0, so that perfectly separable pairs do not make the slope
    # infinite.
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
        hint = "Train the re-ranker first. Until then, order results by similarity"
        name = "match logits" if stage == "joint" else "late scores"
        if "joint" not in pairs.stages:
            name, hint = "similarities", "Use pictures and text similar to the model's training data"
        raise UsageError(f"the {name} are not higher for right pairs than for wrong ones", hint)
    return Curve(slope=float(slope), intercept=float(weights[1] - slope * mean))


def probabilities(scores: NDArray[np.floating], curve: Curve) -> Doubles:
    """Return the probability of each score."""
    return _sigmoid(scores.astype(np.float64) * curve.slope + curve.intercept)


def _sigmoid(values: Doubles) -> Doubles:
    return (1 + np.tanh(values / 2)) / 2  # unlike 1 / (1 + exp(-x)), this cannot overflow


def _report(curve: Curve, pairs: KnownPairs, predicted: Doubles) -> CalibrationReport:
    """Return a report on held-out probabilities [pairs] for a curve."""
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
    """Return the expected calibration error of probabilities [pairs], and the bins that are not empty."""
    indices = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
    error, bins = 0.0, []
    for index in np.unique(indices):
        here = indices == index
        probability, share = (float(np.average(one[here], weights=weights[here])) for one in (predicted, right))
        error += abs(probability - share) * float(weights[here].sum() / weights.sum())
        bins.append(Bin(probability, share, int(here.sum())))
    return error, tuple(bins)


def trade_off(pairs: KnownPairs, predicted: Doubles, least: float) -> TradeOff:
    """Count the queries that are answered and refused if pictures below a probability are hidden."""
    # Each query's best pair comes first. Of equal pairs, the first one wins.
    order = np.lexsort((-predicted, pairs.queries))
    first = order[np.unique(pairs.queries[order], return_index=True)[1]]
    shown = predicted[first] >= least
    answered = shown & pairs.right[first] & pairs.present[first]
    return TradeOff(least, int(answered.sum()), int((~shown & ~pairs.present[first]).sum()))
