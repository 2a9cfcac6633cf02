"""The objectives, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pixsearch_trainer.losses import (
    contrastive_loss,
    drift_loss,
    rank_of_first_match,
    shared_captions,
    soft_targets,
)


def test_contrastive_loss_of_equal_scores_is_the_logarithm_of_the_batch() -> None:
    assert contrastive_loss(torch.zeros(4, 4), torch.eye(4)).item() == pytest.approx(math.log(4))


def test_contrastive_loss_is_the_mean_of_both_directions() -> None:
    # Rows: -log softmax of the diagonal is log(1 + e^-2) and log(1 + e^-0). Columns: log(1 + e^-1) twice.
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    rows = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    columns = math.log(1 + math.exp(-1))

    assert contrastive_loss(logits, torch.eye(2)).item() == pytest.approx((rows + columns) / 2)


def test_contrastive_loss_reads_targets_by_row_for_captions_and_by_column_for_pictures() -> None:
    # Softmax of [log 3, 0] is [3/4, 1/4]; both columns of equal rows give [1/2, 1/2].
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    targets = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    rows = (-0.5 * math.log(3 / 4) - 0.5 * math.log(1 / 4) - math.log(1 / 4)) / 2
    columns = (0.5 * math.log(2) + 1.5 * math.log(2)) / 2

    assert contrastive_loss(logits, targets).item() == pytest.approx((rows + columns) / 2)


def test_pictures_that_share_a_caption_share_its_target() -> None:
    same = shared_captions(torch.tensor([7, 3, 7]))

    targets = soft_targets(same, torch.zeros(3, 3), softness=0.0)

    assert targets.tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]


def test_soft_targets_give_captions_of_like_meaning_their_share() -> None:
    similarity = torch.tensor([[0.1 * math.log(3), 0.0], [0.0, 0.1 * math.log(3)]])

    targets = soft_targets(torch.eye(2, dtype=torch.bool), similarity, softness=0.4, temperature=0.1)

    assert targets[0].tolist() == pytest.approx([0.6 + 0.4 * 3 / 4, 0.4 * 1 / 4])
    assert targets.sum(1).tolist() == pytest.approx([1, 1])


def test_drift_is_one_less_the_cosine() -> None:
    now = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    before = torch.tensor([[1.0, 0.0], [1.0, 0.0]])

    assert drift_loss(now, before).item() == pytest.approx((0 + 1 - math.sqrt(0.5)) / 2)


@pytest.mark.parametrize(
    ("scores", "matches", "rank"),
    [
        ([0.9, 0.5, 0.1], [True, False, False], 1),
        ([0.9, 0.5, 0.1], [False, False, True], 3),
        ([0.9, 0.5, 0.1], [False, True, True], 2),
        ([0.5, 0.5, 0.5], [True, False, False], 3),
        ([0.5, 0.5, 0.1], [True, True, False], 1),
        ([math.nan, math.nan, math.nan], [True, False, False], 3),
        ([0.9, math.nan, 0.1], [True, False, False], 2),
    ],
)
def test_rank_counts_wrong_answers_of_equal_score_or_of_none_as_before_the_right_one(
    scores: list[float], matches: list[bool], rank: int
) -> None:
    assert rank_of_first_match(torch.tensor([scores]), torch.tensor([matches])).tolist() == [rank]
