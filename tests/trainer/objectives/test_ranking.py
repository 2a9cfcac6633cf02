"""The paper's fine-tuning: rank a true caption above false ones, learning from the hardest."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixsearch.errors import DatasetError
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch_trainer.batches.draws import CaptionedSet
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.objectives.ranking import RankingBatch, RankingObjective, add_others
from tests.trainer.made_up import batch_of


def with_others() -> RankingBatch:
    """Two pictures. The true captions have the words 104 and 105, the false ones 110 to 117."""
    others = torch.tensor([[[101, 110 + 4 * row + other, 102] for other in range(4)] for row in range(2)])
    return RankingBatch(**vars(batch_of([0, 1], [0, 1])), other_ids=others, other_mask=others > 0)


def test_the_gradient_goes_through_the_true_caption_and_the_hardest_false_ones_alone(
    network: PixelBertForRetrieval, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair's joint logit is replaced by a parameter for its caption's word. Only this counts, as in the paper."""
    scores = {word: torch.tensor(word % 7 / 2, requires_grad=True) for word in (104, 105, *range(110, 118))}
    with_gradient: list[int] = []

    def joint_logit(ids: Tensor, *_: object) -> Tensor:
        words = ids[:, 1].tolist()
        with_gradient.extend(words if torch.is_grad_enabled() else [])
        return torch.stack([scores[word] for word in words])

    monkeypatch.setattr(network.model, "embed_words", lambda ids: ids)
    monkeypatch.setattr(network, "joint_logit", joint_logit)

    loss = RankingObjective(network, hardest=2)(with_others())["loss"]
    loss.backward()

    ours = (network.similarity_weight, network.late_weight, network.late_interaction.scale)
    assert not any(weight.item() or weight.requires_grad for weight in ours)
    by_hand = 0.0
    for true, false in ((104, range(110, 114)), (105, range(114, 118))):
        weights = {word: math.exp(scores[word].item()) for word in (true, *false)}
        by_hand -= math.log(weights[true] / sum(weights.values())) / 2
        taught = {true, *sorted(false, key=lambda word: -weights[word])[:2]}
        for word, weight in weights.items():
            expected = (weight / sum(weights.values()) - (word == true)) / 2 if word in taught else None
            grad = scores[word].grad
            assert (None if grad is None else grad.item()) == (expected and pytest.approx(expected, rel=1e-4)), word
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    assert len(with_gradient) == 2 + 2 * 2


def test_the_other_captions_are_never_the_pictures_own_and_those_of_the_seed_and_the_step(
    processor: PixelBertProcessor,
) -> None:
    """The captions of picture n are the n-th letter, the letter and an x, and z. In the tiny tokenizer, a is 104."""
    pictures = [CaptionedPicture(Path(letter), (letter, f"{letter} x", "z")) for letter in "abcdefgh"]
    data = CaptionedSet(pictures, seed=0)

    drawn = [add_others(batch_of([3, 5], [0, 0]), step, data, processor, others=20).other_ids for step in (0, 1, 1)]

    for ids in drawn:
        first, second = (ids[..., 1] - 104).tolist()
        assert len(first) == len(second) == 20
        assert not {3, 25} & set(first)
        assert not {5, 25} & set(second)
    assert torch.equal(drawn[1], drawn[2])
    assert not torch.equal(drawn[0][..., 1], drawn[1][..., 1])


def test_where_all_pictures_have_all_captions_there_is_nothing_to_rank(processor: PixelBertProcessor) -> None:
    data = CaptionedSet([CaptionedPicture(Path(name), ("a dog",)) for name in "ab"], seed=0)

    with pytest.raises(DatasetError, match="all pictures have the same captions"):
        add_others(batch_of([0, 1], [0, 0]), 0, data, processor, others=20)
