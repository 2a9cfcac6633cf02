"""The losses, compared with numbers worked out by hand. `test_two_processes` tests them with several processes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from pixsearch_trainer import losses

LN_2, LN_3 = math.log(2), math.log(3)


def test_pairs_that_share_a_picture_or_a_caption_share_their_target() -> None:
    """Pairs 0 and 1 share a picture, 1 and 2 a caption. Pair 3 shares nothing."""
    same = losses.same_items(torch.tensor([7, 7, 8, 9]), torch.tensor([1, 2, 2, 3]))

    targets = losses.soft_targets(same, torch.zeros(4, 2), softness=0.0, temperature=1.0)

    third = pytest.approx(1 / 3)
    assert targets.tolist() == [[0.5, 0.5, 0, 0], [third, third, third, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]


def test_soft_targets_give_captions_of_like_meaning_their_share() -> None:
    # The cosines with the first are 1, 0 and 0.6. At a temperature of 1 / ln 3 the odds are 3, 1 and 3^0.6.
    sentences = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])

    targets = losses.soft_targets(torch.eye(3, dtype=torch.bool), sentences, softness=0.4, temperature=1 / LN_3)

    total = 3 + 1 + 3**0.6
    assert targets[0].tolist() == pytest.approx([0.6 + 0.4 * 3 / total, 0.4 / total, 0.4 * 3**0.6 / total])
    assert targets.sum(1).tolist() == pytest.approx([1, 1, 1])


def test_the_contrastive_loss_is_the_mean_of_rows_for_captions_and_columns_for_pictures() -> None:
    # For rows, the softmax of [log 3, 0] is [3/4, 1/4] and that of [0, 0] is [1/2, 1/2]. The same holds for columns.
    targets = torch.tensor([[0.5, 0.5], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1 / 3, 2 / 3]])
    rows = (-0.5 * math.log(3 / 4) - 0.5 * math.log(1 / 4) + LN_2) / 2
    columns = (-math.log(3 / 4) + LN_2) / 2
    texts, images = torch.eye(3)[:2], torch.eye(3)[[0, 2]]

    loss = losses.contrastive_loss(torch.tensor([[LN_3, 0.0], [0.0, 0.0]]), *targets)
    of_the_only_process = losses.contrastive_loss_over_processes(texts, images, torch.tensor(LN_3), *targets)

    assert [loss.item(), of_the_only_process.item()] == pytest.approx([(rows + columns) / 2] * 2)


def test_similarities_are_whole_under_autocast() -> None:
    one, other = F.normalize(torch.randn(2, 5, 300), dim=-1)

    with torch.autocast("cpu", torch.bfloat16):
        found = losses.cosines(one, other)

    assert found.dtype == torch.float32
    assert torch.equal(found, one @ other.T)


def test_matching_pushes_true_pairs_up_and_false_ones_down_by_half_each() -> None:
    true, false = torch.tensor([0.0]), torch.tensor([LN_3, LN_3, LN_3])

    # sigmoid(0) = 1/2; sigmoid(ln 3) = 3/4, so a false pair costs -ln(1/4).
    assert losses.matching_loss(true, false).item() == pytest.approx((LN_2 + math.log(4)) / 2)
    assert losses.matching_loss(true, false[:0]).item() == pytest.approx(LN_2)
