"""Calibration on logits whose probabilities are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pixsearch.errors import UsageError
from pixsearch_trainer.evaluation.calibration import (
    TradeOff,
    calibrate,
    calibration_of,
    fit,
    predict_left_out,
    probabilities,
    reliability,
    trade_off,
)
from pixsearch_trainer.evaluation.known_pairs import KnownPairs


def pairs_of(
    logits: Sequence[float] | np.ndarray,
    right: Sequence[bool] | np.ndarray,
    weights: Sequence[float] | None = None,
    queries: Sequence[int] | None = None,
) -> KnownPairs:
    """Return pairs, each with its own query by default. Late scores are a hundredth of the logits."""
    count = len(logits)
    of_query, is_right = np.arange(count) if queries is None else np.array(queries), np.array(right)
    return KnownPairs(
        np.array(logits, float),
        np.array(logits, float) / 100,
        is_right,
        np.ones(count) if weights is None else np.array(weights, float),
        of_query,
        np.isin(of_query, of_query[is_right]),
        of_query,
    )


def test_the_curve_that_pairs_were_drawn_by_is_found_again() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(100, 40, 200_000)
    drawn_by = 1 / (1 + np.exp(-(0.04 * logits - 5.0)))

    calibration = fit(pairs_of(logits, generator.random(200_000) < drawn_by), "joint")

    assert calibration.slope == pytest.approx(0.04, rel=0.03)
    assert calibration.intercept == pytest.approx(-5.0, rel=0.03)
    assert probabilities(logits, calibration) == pytest.approx(drawn_by, abs=0.01)


def test_the_mean_probability_is_that_of_platts_targets() -> None:
    # At the optimum, the derivative of the likelihood with respect to the intercept is zero. The targets are 3 / 4 for
    # the two right pairs and 1 / 5 for the others.
    pairs = pairs_of([3.0, 1.0, 2.0, -1.0, 0.0], [True, True, False, False, False])

    assert probabilities(pairs.logits, fit(pairs, "joint")).mean() == pytest.approx((2 * 0.75 + 3 * 0.2) / 5, abs=1e-6)


def test_a_pair_that_weighs_three_is_as_good_as_three_pairs() -> None:
    thrice = fit(pairs_of([3.0, 1.0, 2.0, 2.0, 2.0, -1.0], [True, True, False, False, False, False]), "joint")
    weighing = fit(pairs_of([3.0, 1.0, 2.0, -1.0], [True, True, False, False], [1, 1, 3, 1]), "joint")

    assert (weighing.slope, weighing.intercept) == pytest.approx((thrice.slope, thrice.intercept), rel=1e-6)


@pytest.mark.parametrize(("pairs", "right"), [(4, 1), (3000, 2)])
def test_pairs_that_are_told_apart_without_a_mistake_have_platts_targets_as_probabilities(
    pairs: int, right: int
) -> None:
    """With only two distinct logits, the curve can meet both targets, however far apart the logits are."""
    is_right = np.arange(pairs) < right
    logits = np.where(is_right, 1000.0, -3.0)

    calibrated = probabilities(logits, fit(pairs_of(logits, is_right), "joint"))

    assert calibrated[0] == pytest.approx((right + 1) / (right + 2), rel=1e-4)
    assert calibrated[-1] == pytest.approx(1 / (pairs - right + 2), rel=1e-4)


@pytest.mark.parametrize("logits", [[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0], [np.nan, 1.0, 2.0, 3.0]])
def test_logits_that_say_nothing_or_the_opposite_are_refused(logits: list[float]) -> None:
    with pytest.raises(UsageError, match="not higher"):
        fit(pairs_of(logits, [True, True, False, False]), "joint")


@pytest.mark.parametrize("right", [True, False])
def test_pairs_that_are_all_right_or_all_wrong_are_too_little(right: bool) -> None:
    with pytest.raises(UsageError, match="not enough data"):
        calibrate(pairs_of([1.0, 2.0, 3.0], [right] * 3))


def test_one_query_is_too_little() -> None:
    with pytest.raises(UsageError, match="not enough data"):
        calibrate(pairs_of([1.0, 2.0], [True, False], queries=[0, 0]))


def test_a_hopeless_pair_has_probability_zero_and_overflows_nothing() -> None:
    right = np.array([True, False] * 50)
    calibration = fit(pairs_of(np.where(right, 1.0, -1.0), right), "joint")

    with np.errstate(all="raise"):
        assert probabilities(np.array([-1e6, 1e6]), calibration).tolist() == [0, 1]


def test_reliability_is_that_counted_by_hand() -> None:
    predicted = np.array([0.02, 0.04, 0.31, 0.39, 0.35, 0.35, 1.0])
    right = np.array([False, True, False, True, False, False, True])

    error, bins = reliability(predicted, right, np.ones(7))

    assert [(one.pairs, one.share) for one in bins] == [(2, 0.5), (4, 0.25), (1, 1.0)]
    assert [one.probability for one in bins] == pytest.approx([0.03, 0.35, 1.0])
    assert error == pytest.approx((2 * 0.47 + 4 * 0.1 + 0) / 7)


def test_weights_count_in_the_reliability() -> None:
    error, [only] = reliability(np.array([0.5, 0.55]), np.array([True, False]), np.array([3.0, 1.0]))

    assert (only.share, only.pairs) == (0.75, 2)
    assert only.probability == pytest.approx(0.5125)
    assert error == pytest.approx(0.2375)


def test_a_query_is_judged_by_a_curve_that_was_fitted_without_it() -> None:
    """The two queries contradict each other. With a curve fitted to both, 3 would be as likely as -3."""
    pairs = pairs_of([3.0, -3.0, 4.0, -5.0], [True, False, True, False], queries=[0, 0, 1, 1])

    predicted = predict_left_out(pairs, "joint")

    one, other = (fit(pairs.part(pairs.groups == group), "joint") for group in (0, 1))
    assert predicted.tolist() == [
        *probabilities(np.array([3.0, -3.0]), other),
        *probabilities(np.array([4.0, -5.0]), one),
    ]


def test_queries_are_answered_and_refused_by_their_best_pair() -> None:
    # Query 0: the best is right. 1: the best is wrong. 2: absent, with the best at 0.4. 3: the right photo is not
    # a candidate.
    pairs = pairs_of(
        np.zeros(8), [True, False, False, True, False, False, False, False], queries=[0, 0, 1, 1, 2, 2, 3, 3]
    )
    pairs = replace(pairs, present=pairs.queries != 2)
    predicted = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.4, 0.9, 0.1])

    assert trade_off(pairs, predicted, 0.5) == TradeOff(0.5, answered=1, refused=1)
    assert trade_off(pairs, predicted, 0.4) == TradeOff(0.4, answered=1, refused=0)
    assert trade_off(pairs, predicted, 0.95) == TradeOff(0.95, answered=0, refused=1)


def test_a_report_tells_what_is_likely_and_what_that_is_worth() -> None:
    """There are 100 queries with two pairs each. 3 of 4 that score 1 are right, and 1 of 20 that score 0."""
    numbers = np.random.default_rng(0).permutation(100) % 20
    right = [numbers[index // 2] < (15 if index % 2 else 1) for index in range(200)]
    pairs = pairs_of([float(index % 2) for index in range(200)], right, queries=[index // 2 for index in range(200)])

    report = calibrate(pairs)["joint"]

    assert (report.pairs, report.right, report.present, report.absent) == (200, 80, 75, 25)
    assert report.likely == 100
    assert report.likely_right == pytest.approx(0.75)
    assert report.likely_said == pytest.approx(0.75, abs=0.02)
    assert report.expected_error < 0.03
    by_hand = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25) + 0.05 * np.log(0.05) + 0.95 * np.log(0.95)) / 2
    assert report.log_loss == pytest.approx(by_hand, rel=0.05)
    trade_offs = {one.probability: (one.answered, one.refused) for one in report.trade_off}
    assert (trade_offs[0.5], trade_offs[0.9]) == ((75, 0), (0, 25))


def test_each_stage_has_a_curve_of_its_own_and_both_mean_the_same() -> None:
    """If late scores are a hundredth of the logits, their slope is 100 times as steep and the probabilities are the
    same.
    """
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, 4000)
    pairs = pairs_of(logits, generator.random(4000) < 1 / (1 + np.exp(-logits)))

    reports = calibrate(pairs)

    calibration = calibration_of(reports)
    assert calibration.joint is not None
    assert calibration.late.slope == pytest.approx(100 * calibration.joint.slope, rel=1e-4)
    assert calibration.late.intercept == pytest.approx(calibration.joint.intercept, abs=1e-4)
    assert reports["late"].log_loss == pytest.approx(reports["joint"].log_loss, abs=1e-6)
