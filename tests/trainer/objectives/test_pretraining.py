"""Masked words, matching and pixel sampling, compared with their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.objectives.pretraining import (
    FIRST_WORD,
    IGNORED,
    MASK_TOKEN,
    PreTrainingObjective,
    draw_others,
    mask_words,
    masked_word_loss,
    sample_for_pretraining,
)
from pixsearch_trainer.objectives.streams import sample_pixels
from tests.trainer.made_up import batch_of


def test_of_the_words_15_percent_are_to_be_predicted_and_of_these_80_are_masked_and_10_are_others() -> None:
    torch.manual_seed(0)
    ids = torch.full((1000, 42), 5000)
    ids[:, 0], ids[:, 40], ids[:, 41] = 101, 102, 0  # [CLS] w1..w39 [SEP] [PAD]

    read, targets = mask_words(ids, vocabulary=30522)

    chosen = targets != IGNORED
    assert (targets[chosen] == 5000).all()
    assert not chosen[:, [0, 40, 41]].any()
    assert (read[~chosen] == ids[~chosen]).all()
    count, words = int(chosen.sum()), 39_000
    assert abs(count - 0.15 * words) < 4 * math.sqrt(words * 0.15 * 0.85) + 10
    others = read[chosen][(read[chosen] != MASK_TOKEN) & (read[chosen] != 5000)]
    fates = (0.8, int((read[chosen] == MASK_TOKEN).sum())), (0.1, int((read[chosen] == 5000).sum())), (0.1, len(others))
    for share, found in fates:
        assert abs(found - share * count) < 4 * math.sqrt(count * share * (1 - share))
    assert others.min() >= FIRST_WORD
    assert len(others.unique()) > 0.9 * len(others)


def test_a_sentence_of_one_word_is_to_predict_it_and_the_loss_is_of_such_words_alone() -> None:
    _, targets = mask_words(torch.tensor([[101, 2, 102, 0], [101, 0, 102, 1]]), vocabulary=3)
    logits = torch.tensor([[0.0, 0.0, math.log(2)], [0.0, math.log(6), math.log(3)]])

    assert targets.tolist() == [[IGNORED, 2, IGNORED, IGNORED], [IGNORED, IGNORED, IGNORED, 1]]
    # The probabilities are 2 / (1 + 1 + 2) and 6 / (1 + 6 + 3).
    assert masked_word_loss(logits, targets).item() == pytest.approx(-(math.log(0.5) + math.log(0.6)) / 2)


def test_the_false_partner_is_another_pictures_caption_that_is_false() -> None:
    pictures, captions = torch.tensor([0, 0, 1, 2]), torch.tensor([10, 11, 11, 12])

    drawn = torch.stack([draw_others(pictures, captions) for _ in range(50)])

    # Caption 2 is identical to picture 1's sentence.
    assert [set(column) for column in drawn.T.tolist()] == [{2, 3}, {3}, {0, 3}, {0, 1, 2}]
    assert draw_others(torch.tensor([0, 0]), torch.tensor([1, 2])).tolist() == [-1, -1]


def test_pixels_are_sampled_from_those_that_stand_for_each_picture_anew_or_all_where_they_are_fewer() -> None:
    grid, mask = torch.arange(12.0).expand(300, 12)[..., None], (torch.arange(12) < 7).expand(300, 12)

    sampled, kept = sample_pixels(grid, mask, 4)
    of_few, kept_of_few = sample_pixels(grid, torch.arange(12).expand(300, 12) < 2, 4)

    assert sampled.shape == (300, 4, 1)
    assert kept.all()
    sets = {tuple(sorted(row)) for row in sampled[..., 0].tolist()}
    assert all(len(set(row)) == 4 and max(row) < 7 for row in sets)
    assert len(sets) == math.comb(7, 4)
    assert kept_of_few.tolist() == [[True, True, False, False]] * 300
    assert {tuple(sorted(row)) for row in of_few[:, :2, 0].tolist()} == {(0, 1)}


@pytest.mark.parametrize(("pixels", "read"), [(240, 100), (200, 100), (49, 25), (1, 1)])
def test_pre_training_reads_100_pixels_or_half_of_them(pixels: int, read: int) -> None:
    _, kept = sample_for_pretraining(torch.rand(1, 240, 2), torch.arange(240)[None] < pixels)

    assert kept.sum() == read


@pytest.mark.parametrize(
    ("parts", "training", "pixels", "losses"),
    [
        ({}, True, 4, {"loss", "mlm", "itm"}),
        ({}, False, 8, {"loss", "mlm", "itm"}),
        ({"sampling": False}, True, 8, {"loss", "mlm", "itm"}),
        ({"matching": False}, True, 4, {"loss", "mlm"}),
        ({"masked_words": False}, True, 4, {"loss", "itm"}),
    ],
)
def test_each_part_can_be_left_out_and_pixels_are_sampled_in_training_only(
    network: PixelBertForRetrieval, parts: dict[str, bool], training: bool, pixels: int, losses: set[str]
) -> None:
    """Without word prediction no words are masked, in true pairs or in false ones."""
    objective, batch = PreTrainingObjective(network, **parts).train(training), batch_of([0, 1], [0, 1], pixels=8)
    seen, read = list[Tensor](), list[Tensor]()
    network.model.pixel_projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.model.word_embedding.word_embeddings.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))

    found = objective(batch)

    assert found.keys() == losses
    assert found["loss"].item() == pytest.approx(sum(found[name].item() for name in losses - {"loss"}))
    assert {grid.shape[1] for grid in seen} == {pixels}
    assert torch.equal(read[0], batch.ids) is not parts.get("masked_words", True)
    if parts.get("matching", True):
        assert torch.equal(read[1], read[0].flip(0))
