"""The paper's fine-tuning: a caption among false ones, the hardest of which teach."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.objectives.ranking import RankingObjective, RankingOptions, ranking_loss

OPTIONS = RankingOptions(negatives=4, hardest=2)


@pytest.fixture
def network(tiny_start: Path) -> PixelBertForRetrieval:
    return load_checkpoint(tiny_start)[0]


def batch_of(network: PixelBertForRetrieval) -> PairBatch:
    """Two pictures; the words of the true captions are 104 and 105, those of the false ones 110 to 117."""
    ids = torch.tensor([[101, 104, 102], [101, 105, 102]])
    others = torch.tensor([[[101, 110 + 4 * row + other, 102] for other in range(4)] for row in range(2)])
    grid = torch.rand(2, 3, network.model.backbone.channels)
    masks = torch.ones_like(ids, dtype=torch.bool), torch.ones_like(others, dtype=torch.bool)
    everything, places = torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1])
    return PairBatch(places, places, ids, masks[0], None, grid, everything, [], others, masks[1])


def scores_by_word(
    network: PixelBertForRetrieval, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[int, Tensor], list[int]]:
    """Makes the logit of a pair a parameter of its caption's word; notes the words that are asked with a gradient."""
    scores = {word: torch.tensor(word % 7 / 2, requires_grad=True) for word in (104, 105, *range(110, 118))}
    with_gradient: list[int] = []

    def match(ids: Tensor, *_: object) -> Tensor:
        if torch.is_grad_enabled():
            with_gradient.extend(ids[:, 1].tolist())
        return torch.stack([scores[word] for word in ids[:, 1].tolist()])

    monkeypatch.setattr(network, "match", match)
    return scores, with_gradient


def test_the_loss_is_the_softmax_over_the_true_caption_and_all_false_ones() -> None:
    logits = torch.tensor([[math.log(2), 0.0, 0.0], [0.0, 0.0, 0.0]])

    # 2 of 4, and 1 of 3.
    assert ranking_loss(logits).item() == pytest.approx((math.log(2) + math.log(3)) / 2)


def test_the_gradient_goes_through_the_true_caption_and_the_hardest_false_ones_alone(
    network: PixelBertForRetrieval, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, with_gradient = scores_by_word(network, monkeypatch)

    loss = RankingObjective(network, OPTIONS)(batch_of(network))["loss"]
    loss.backward()

    rows = ((104, range(110, 114)), (105, range(114, 118)))
    by_hand = 0.0
    for true, false in rows:
        weights = {word: math.exp(scores[word].item()) for word in (true, *false)}
        by_hand -= math.log(weights[true] / sum(weights.values())) / 2
        hardest = sorted(false, key=lambda word: -weights[word])[:2]
        for word in (true, *false):
            gradient = (weights[word] / sum(weights.values()) - (word == true)) / 2
            expected = gradient if word == true or word in hardest else None
            found = scores[word].grad
            assert (found is None) == (expected is None), word
            if found is not None:
                assert found.item() == pytest.approx(gradient, rel=1e-4)
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert len(with_gradient) == 2 + 2 * 2


def test_the_paper_takes_20_false_captions_and_the_5_hardest_of_them() -> None:
    assert RankingOptions() == RankingOptions(negatives=20, hardest=5)


def test_the_head_alone_decides(network: PixelBertForRetrieval) -> None:
    RankingObjective(network, OPTIONS)

    assert network.similarity_weight.item() == network.late_weight.item() == 0
    assert not network.similarity_weight.requires_grad
    assert not network.late_weight.requires_grad
