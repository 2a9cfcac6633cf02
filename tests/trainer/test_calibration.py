"""Calibration, against logits whose probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest

from pixsearch.errors import UsageError
from pixsearch.progress import Progress
from pixsearch_trainer.evaluation.calibration import calibrate, fit, probabilities, reliability, with_a_match
from tests.trainer.test_evaluation import ByHand, encoded_by


def test_the_curve_that_labels_were_drawn_by_is_found_again() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(100, 40, 200_000)
    drawn_by = 1 / (1 + np.exp(-(logits / 25.0 - 5.0)))
    labels = generator.random(200_000) < drawn_by

    calibration = fit(logits, labels)

    assert calibration.temperature == pytest.approx(25.0, rel=0.03)
    assert calibration.bias == pytest.approx(-5.0, rel=0.03)
    assert probabilities(logits, calibration) == pytest.approx(drawn_by, abs=0.01)


def test_the_mean_probability_is_that_of_platts_targets() -> None:
    # The likelihood's derivative by the bias is zero exactly there: 3 / 4 for the two that match, 1 / 5 for the others.
    logits, labels = np.array([3.0, 1.0, 2.0, -1.0, 0.0]), np.array([True, True, False, False, False])

    assert probabilities(logits, fit(logits, labels)).mean() == pytest.approx((2 * 0.75 + 3 * 0.2) / 5, abs=1e-6)


@pytest.mark.parametrize(("pairs", "matching"), [(4, 1), (3000, 2)])
def test_pairs_that_are_told_apart_without_a_mistake_have_platts_targets_as_probabilities(
    pairs: int, matching: int
) -> None:
    """Two different logits: the curve can pass through the target of each, n / (n + 1), if matches lie far away."""
    labels = np.arange(pairs) < matching
    logits = np.where(labels, 1000.0, -3.0)

    calibrated = probabilities(logits, fit(logits, labels))

    assert calibrated[0] == pytest.approx((matching + 1) / (matching + 2), rel=1e-4)
    assert calibrated[-1] == pytest.approx(1 / (pairs - matching + 2), rel=1e-4)


@pytest.mark.parametrize("logits", [[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0], [np.nan, 1.0, 2.0, 3.0]])
def test_logits_that_say_nothing_or_the_opposite_are_refused(logits: list[float]) -> None:
    with pytest.raises(UsageError, match="no higher"):
        fit(np.array(logits), np.array([True, True, False, False]))


def test_a_hopeless_pair_has_probability_zero_and_overflows_nothing() -> None:
    labels = np.array([True, False] * 50)
    calibration = fit(np.where(labels, 1.0, -1.0), labels)

    with np.errstate(all="raise"):
        assert probabilities(np.array([-1e6, 1e6]), calibration).tolist() == [0, 1]


def test_reliability_is_that_counted_by_hand() -> None:
    predicted = np.array([0.02, 0.04, 0.31, 0.39, 0.35, 0.35, 1.0])
    labels = np.array([False, True, False, True, False, False, True])

    error, bins = reliability(predicted, labels)

    assert [(one.pairs, one.share) for one in bins] == [(2, 0.5), (4, 0.25), (1, 1.0)]
    assert [one.probability for one in bins] == pytest.approx([0.03, 0.35, 1.0])
    assert error == pytest.approx((2 * 0.47 + 4 * 0.1 + 0) / 7)


def test_a_right_one_is_among_the_candidates() -> None:
    similarity = np.array([[0.9, 0.8, 0.1, 0.2], [0.9, 0.8, 0.1, 0.2]], np.float32)
    matches = np.array([[False, False, True, True], [False, True, False, True]])
    order = np.array([[0, 1], [0, 1]])

    assert with_a_match(order, similarity, matches).tolist() == [[0, 3], [0, 1]]


def test_a_report_is_of_each_captions_nearest_pictures_and_one_that_matches() -> None:
    """By the similarities of test_evaluation: a (1, 0), b (3, 0 for 2), c (1, 2), d (0, 2 for 1), e (3, 1)."""
    runtime, reported = ByHand(), list[Progress]()
    runtime.logits = [[9.0, 1, 0, 0], [8.0, 0, 0, 2], [0, 7.0, 3, 0], [4.0, 0, 6.0, 0], [0, 5, 0, 5.5]]

    report = calibrate(runtime, encoded_by(runtime), 2, on_progress=reported.append)

    assert (report.pairs, report.matching) == (10, 5)
    assert report.calibration == fit(
        np.array([1.0, 9, 2, 8, 7, 3, 4, 6, 5.5, 5]),
        np.array([False, True, False, True, True, False, False, True, True, False]),
    )
    assert sum(one.pairs for one in report.bins) == 10
    assert 0 < report.expected_error < 0.5
    assert (reported[-1].done, reported[-1].total) == (10, 10)


def test_one_picture_or_one_caption_is_too_little() -> None:
    runtime = ByHand()
    encoded = encoded_by(runtime)

    for too_little, sample in ((encoded.part(slice(1)), None), (encoded, 1)):
        with pytest.raises(UsageError, match="too little"):
            calibrate(runtime, too_little, 2, sample)
