"""Late interaction: scores worked out by hand, padding, and an untrained module."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.late_interaction import LateInteraction

CONFIG = PixelBertConfig(width=3, heads=1, embedding_size=2, image_map_hidden=2)
# The first two of three numbers are a direction in the plane, and the third determines a word's weight.
WORDS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [9.0, 9.0, 9.0]]])
MASK = torch.tensor([[True, True, False]])
GRID = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [0.0, 9.0]]])
PIXEL_MASK = torch.tensor([[True, True, False]])


@pytest.fixture
def late() -> LateInteraction:
    """Return a module that maps words to their first two numbers, and non-negative pixels nearly to themselves."""
    late = LateInteraction(CONFIG, channels=2)
    with torch.no_grad():
        for linear in (late.pixel_hidden, late.pixel_map):
            linear.weight.copy_(torch.eye(2))
            linear.bias.zero_()
        late.pixel_hidden.weight.mul_(100)  # GELU leaves 0 and large positive numbers unchanged
        late.word_map.weight.copy_(torch.eye(2, 3))
        late.word_map.bias.zero_()
        late.scale.fill_(10.0)
    return late


def test_each_word_counts_its_best_pixel_that_is_not_padding(late: LateInteraction) -> None:
    # (1, 0) finds (1, 0), cosine 1. (0, 1) finds (3, 4), cosine 0.8; (0, 9) and the third word are padding.
    assert late(WORDS, MASK, GRID, PIXEL_MASK).item() == pytest.approx(10 * (1 + 0.8) / 2)
    assert late(WORDS, MASK, GRID).item() == pytest.approx(10 * (1 + 1) / 2)


def test_a_word_counts_by_its_weight_and_adds_its_offset(late: LateInteraction) -> None:
    with torch.no_grad():
        # The first word counts three times as much.
        late.word_weight.weight.copy_(torch.tensor([[math.log(3), 0.0, 0.0]]))
        late.word_offset.weight.copy_(torch.tensor([[0.0, 8.0, 0.0]]))

    logit = late(WORDS, MASK, GRID, PIXEL_MASK).item()

    assert logit == pytest.approx(10 * (0.75 * 1 + 0.25 * 0.8) + 0.25 * 8)


def test_every_pair_is_scored_as_it_would_be_alone() -> None:
    torch.manual_seed(0)
    late = LateInteraction(CONFIG, channels=5)
    for parameter in late.parameters():
        torch.nn.init.normal_(parameter)
    words, grid = torch.randn(3, 4, 3), torch.rand(2, 6, 5)
    mask, pixel_mask = torch.arange(4) < torch.tensor([[4], [2], [3]]), torch.arange(6) < torch.tensor([[6], [4]])

    together = late.every_pair(words, mask, grid, pixel_mask)

    alone = [[late(words[[s]], mask[[s]], grid[[p]], pixel_mask[[p]]).item() for p in range(2)] for s in range(3)]
    assert together.shape == (3, 2)
    assert together.flatten().tolist() == pytest.approx(torch.tensor(alone).flatten().tolist(), abs=1e-4)


@pytest.mark.parametrize(("words", "grids"), [(1, 3), (3, 1)])
def test_a_single_sentence_or_picture_is_paired_with_all(late: LateInteraction, words: int, grids: int) -> None:
    sentence, grid = torch.randn(words, 2, 3), torch.rand(grids, 4, 2)

    logits: Tensor = late(sentence, torch.ones(words, 2, dtype=torch.bool), grid)

    repeated = late(sentence.expand(3, -1, -1), torch.ones(3, 2, dtype=torch.bool), grid.expand(3, -1, -1))
    assert logits.tolist() == pytest.approx(repeated.tolist())


def test_an_untrained_module_scores_everything_0() -> None:
    late = LateInteraction(CONFIG, channels=2)

    assert late.closed
    assert late(WORDS, MASK, GRID).item() == 0
