"""The second stage: the pictures that late interaction ranks, those that the joint stream reads, and their hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pixsearch import Filters, Query, SearchEngine, Words
from pixsearch.errors import UsageError
from pixsearch.model.late_scores import ReadText
from pixsearch.search.cascade import Indices, cascade, ordered_by_late
from pixsearch.search.runtime import Floats
from tests.colour_runtime import ColourRuntime
from tests.search.conftest import Fill
from tests.search.test_engine import names

SHADES = {f"{red}.png": (red, 51, 0) for red in (51, 102, 153, 204, 255)}
"""Pictures by redness. More red means more similar and a better match: 10 x red / 255 - 5 is -3, -1, 1, 3, 5."""
RED = Query((Words("red"),), duplicates="show", evidence="shows")


class ByGreyness(ColourRuntime):
    """A runtime whose late interaction prefers less red. The score is 1 minus the red, from 0 to 1."""

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        super().late_scores(texts, grids, embeddings)
        scores = np.array([1 - np.frombuffer(grid, np.float32)[0] for grid in grids], np.float32)
        return np.tile(scores, (len(texts), 1))


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_the_best_by_late_score_are_read_and_stand_before_the_others() -> None:
    calls: list[list[int]] = []

    def match(indices: Indices) -> Floats:
        calls.append(indices.tolist())
        return np.array([[1, 7], [2, 1]], np.float32)

    # With weights 2 and -1, the late scores are 2, 1, 5, 4: indices 2 and 3 are read, with logits 2 - 2 = 0 and 14 - 1
    # = 13.
    late = np.array([[1, 1, 3, 4], [0, 1, 1, 4]], np.float32)
    scores = cascade(late, [2.0, -1.0], 2, match)

    assert calls == [[2, 3]]
    assert scores.order.tolist() == [3, 2, 0, 1]
    assert [scores.match_of(index) for index in range(4)] == [None, None, 0.0, 13.0]


def test_what_cannot_be_read_keeps_its_place() -> None:
    late = np.array([[1, 2, 3, 4, 5]], np.float32)

    # The best four by late score are 4, 3, 2 and 1. The second, 3, is not read.
    scores = cascade(late, [1.0], 4, lambda places: np.array([[9, 8, np.nan, 7]], np.float32))

    assert scores.order.tolist() == [1, 3, 2, 4, 0]
    assert [scores.match_of(place) for place in range(5)] == [None, 9.0, 8.0, None, 7.0]


def test_the_last_digits_of_a_late_score_do_not_decide() -> None:
    late = np.array([[0.5, 0.5 + 1e-6, 0.4]], np.float32)

    scores = cascade(late, [1.0], 1, lambda indices: np.zeros((1, len(indices)), np.float32))

    assert scores.order.tolist() == [0, 1, 2]
    assert scores.read.tolist() == [True, False, False]


@pytest.mark.parametrize(("candidates", "hits", "ordered"), [(8, 10, 64), (50, 10, 100), (8, 300, 300)])
def test_late_interaction_orders_64_or_twice_what_is_read_or_all_hits(candidates: int, hits: int, ordered: int) -> None:
    assert ordered_by_late(candidates, hits) == ordered


def test_late_interaction_chooses_the_photos_that_the_joint_stream_reads(fill: Fill) -> None:
    runtime = ByGreyness()

    hits = SearchEngine(fill(SHADES), runtime).search(replace(RED, candidates=2))

    # 51 and 102 are read, and the better match is first. The others follow by late score.
    assert names(hits) == ["102.png", "51.png", "153.png", "204.png", "255.png"]
    assert [hit.match for hit in hits] == [pytest.approx(-1.0, abs=1e-5), pytest.approx(-3.0, abs=1e-5), *[None] * 3]
    assert [hit.similarity_rank for hit in hits] == [4, 5, 3, 2, 1]
    assert (runtime.pairs_ordered, runtime.pairs_matched) == (5, 2)


def test_a_photo_that_the_joint_stream_did_not_read_has_the_probability_of_its_late_score(fill: Fill) -> None:
    hits = SearchEngine(fill(SHADES), ByGreyness(calibrated=True)).search(replace(RED, candidates=2))

    # Match scores give sigmoid(-1) and sigmoid(-3). Late scores of 0.4, 0.2 and 0 give sigmoid(10 x score - 5).
    assert [hit.probability for hit in hits] == pytest.approx([sigmoid(x) for x in (-1, -1, -3, -3, -5)], abs=1e-4)
    assert [hit.match is None for hit in hits] == [False, True, False, True, True]


def test_likely_by_late_score_comes_before_unlikely_by_match(fill: Fill) -> None:
    library = fill({"dark.png": (26, 0, 0), "grey.png": (26, 26, 26), "red.png": (255, 0, 0)})

    hits = SearchEngine(library, ByGreyness(calibrated=True)).search(replace(RED, candidates=1))

    # Both dark pictures have a late score of 0.9, and so a probability of sigmoid(4). The more similar one is read, and
    # its match is 1 - 5.
    assert names(hits) == ["grey.png", "dark.png", "red.png"]
    assert [hit.likely for hit in hits] == [True, False, False]
    assert [hit.match is None for hit in hits] == [True, False, True]


def test_a_likely_photo_is_not_cut_off_after_an_unlikely_one_that_was_read(fill: Fill) -> None:
    library = fill({"dark.png": (26, 0, 0), "grey.png": (26, 26, 26), "red.png": (255, 0, 0)})

    hits = SearchEngine(library, ByGreyness(calibrated=True)).search(replace(RED, candidates=1), k=1)

    assert names(hits) == ["grey.png"]


def test_a_threshold_applies_to_late_interaction_scores_too(fill: Fill) -> None:
    engine = SearchEngine(fill(SHADES), ByGreyness(calibrated=True))

    # 51 is read, with sigmoid(-3) = 0.047. By late score, 102 has sigmoid(1) = 0.73, 153 has 0.27, and the others less.
    assert names(engine.search(replace(RED, candidates=1, threshold=0.2))) == ["102.png", "153.png"]


def test_without_a_calibration_hits_beyond_those_read_have_neither_match_nor_probability(fill: Fill) -> None:
    engine = SearchEngine(fill(SHADES), ByGreyness())

    hits = engine.search(replace(RED, candidates=2))

    assert [(hit.match is None, hit.probability) for hit in hits] == [(False, None)] * 2 + [(True, None)] * 3
    with pytest.raises(UsageError, match="pixsearch calibrate"):
        engine.search(replace(RED, candidates=2, threshold=0.1))


def test_the_second_stage_only_sees_photos_that_pass_the_filters(fill: Fill) -> None:
    runtime = ByGreyness()

    hits = SearchEngine(fill(SHADES), runtime).search(replace(RED, filters=Filters(name="2*.png"), candidates=1))

    assert names(hits) == ["204.png", "255.png"]
    assert (runtime.pairs_ordered, runtime.pairs_matched) == (2, 1)


def test_if_similarity_decides_the_order_the_second_stage_reads_no_more_than_the_hits(fill: Fill) -> None:
    runtime = ByGreyness(calibrated=False, default_order="similarity")

    hits = SearchEngine(fill(SHADES), runtime).search(replace(RED, candidates=1), k=2)

    assert names(hits) == ["255.png", "204.png"]
    assert [hit.match for hit in hits] == [None, pytest.approx(3.0, abs=1e-5)]
    assert (runtime.pairs_ordered, runtime.pairs_matched) == (2, 1)
