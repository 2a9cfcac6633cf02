"""Masked words, matching and sampling, against their definitions."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixsearch.model.checkpoints import load_network
from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.objectives.pretraining import (
    FIRST_WORD,
    IGNORED,
    MASK_TOKEN,
    PreTrainingObjective,
    PreTrainingOptions,
    draw_others,
    mask_words,
    masked_word_loss,
    matching_loss,
)
from pixsearch_trainer.objectives.sampling import sample_for_pretraining, sample_pixels
from pixsearch_trainer.starting_weights.other_task import for_task


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
    for share, found in (
        (0.8, read[chosen] == MASK_TOKEN),
        (0.1, (read[chosen] != MASK_TOKEN) & (read[chosen] != 5000)),
        (0.1, read[chosen] == 5000),
    ):
        assert abs(int(found.sum()) - share * count) < 4 * math.sqrt(count * share * (1 - share))
    others = read[chosen][(read[chosen] != MASK_TOKEN) & (read[chosen] != 5000)]
    assert others.min() >= FIRST_WORD
    assert len(others.unique()) > 0.9 * len(others)


def test_a_sentence_of_one_word_is_to_predict_it() -> None:
    _, targets = mask_words(torch.tensor([[101, 5000, 102, 0]]), vocabulary=30522)

    assert targets.tolist() == [[IGNORED, 5000, IGNORED, IGNORED]]


def test_the_loss_of_masked_words_is_the_cross_entropy_of_those_alone() -> None:
    targets = torch.tensor([[IGNORED, 2, IGNORED], [0, IGNORED, IGNORED]])
    logits = torch.tensor([[0.0, 0.0, math.log(2)], [math.log(6), 0.0, math.log(3)]])

    # 2 of 1 + 1 + 2, and 6 of 6 + 1 + 3.
    assert masked_word_loss(logits, targets).item() == pytest.approx(-(math.log(0.5) + math.log(0.6)) / 2)


def test_matching_pushes_true_pairs_up_and_false_ones_down_by_half_each() -> None:
    true, false = torch.tensor([0.0]), torch.tensor([math.log(3), math.log(3), math.log(3)])

    # sigmoid(0) = 1/2; sigmoid(ln 3) = 3/4, so a false pair costs -ln(1/4).
    assert matching_loss(true, false).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert matching_loss(true, false[:0]).item() == pytest.approx(math.log(2))


def test_the_false_partner_is_another_pictures_caption_that_is_false() -> None:
    pictures, captions = torch.tensor([0, 0, 1, 2]), torch.tensor([10, 11, 11, 12])

    for _ in range(50):
        others = draw_others(pictures, captions).tolist()
        assert others[0] in (2, 3)
        assert others[1] == 3  # 2 has the very sentence
        assert others[2] in (0, 3)
        assert others[3] in (0, 1, 2)
    assert draw_others(torch.tensor([0, 0]), torch.tensor([1, 2])).tolist() == [-1, -1]


def test_pixels_are_sampled_from_those_that_stand_without_repetition_and_for_each_picture_anew() -> None:
    grid = torch.arange(12.0).expand(300, 12)[..., None]
    mask = (torch.arange(12) < 7).expand(300, 12)

    sampled, kept = sample_pixels(grid, mask, 4)

    assert sampled.shape == (300, 4, 1)
    assert kept.all()
    sets = {tuple(sorted(row)) for row in sampled[..., 0].tolist()}
    assert all(len(set(row)) == 4 and max(row) < 7 for row in sets)
    assert len(sets) == math.comb(7, 4)


def test_of_a_picture_with_fewer_pixels_all_are_read_and_the_rest_is_masked() -> None:
    grid, mask = torch.rand(1, 6, 2), torch.tensor([[True, True, False, False, False, False]])

    sampled, kept = sample_pixels(grid, mask, 4)

    assert kept.tolist() == [[True, True, False, False]]
    assert {tuple(row) for row in sampled[0, :2].tolist()} == {tuple(row) for row in grid[0, :2].tolist()}


@pytest.mark.parametrize(("pixels", "read"), [(240, 100), (200, 100), (49, 25), (1, 1)])
def test_pre_training_reads_100_pixels_or_half_of_them(pixels: int, read: int) -> None:
    mask = torch.arange(240)[None] < pixels

    _, kept = sample_for_pretraining(torch.rand(1, 240, 2), mask)

    assert kept.sum() == read


@pytest.fixture
def network(tiny_start: Path) -> PixelBertForPreTraining:
    torch.manual_seed(0)
    network, _ = for_task("pretrain", *load_network(tiny_start))
    assert isinstance(network, PixelBertForPreTraining)
    return network


def batch_of(network: PixelBertForPreTraining, pixels: int = 8) -> PairBatch:
    ids = torch.tensor([[101, 104, 105, 102], [101, 106, 107, 102]])
    grid = torch.rand(2, pixels, network.model.backbone.channels)
    everything = torch.ones(2, pixels, dtype=torch.bool)
    return PairBatch(
        torch.tensor([0, 1]),
        torch.tensor([0, 1]),
        ids,
        torch.ones_like(ids, dtype=torch.bool),
        None,
        grid,
        everything,
        [],
    )


@pytest.mark.parametrize(
    ("switch", "left"),
    [("masked_words", {"loss", "itm"}), ("matching", {"loss", "mlm"}), ("sampling", {"loss", "mlm", "itm"})],
)
def test_each_part_can_be_switched_off(network: PixelBertForPreTraining, switch: str, left: set[str]) -> None:
    objective = PreTrainingObjective(network, replace(PreTrainingOptions(), **{switch: False}))

    losses = objective(batch_of(network))

    assert losses.keys() == left
    assert losses["loss"].item() == pytest.approx(sum(losses[name].item() for name in left - {"loss"}))


@pytest.mark.parametrize(("training", "sampling", "read"), [(True, True, 4), (True, False, 8), (False, True, 8)])
def test_pixels_are_sampled_in_training_only_and_only_where_asked_for(
    network: PixelBertForPreTraining,
    monkeypatch: pytest.MonkeyPatch,
    training: bool,
    sampling: bool,
    read: int,
) -> None:
    seen: list[int] = []
    embed = network.model.embed_pixels

    def count(grid: Tensor, dropout: float = 0.0) -> Tensor:
        seen.append(grid.shape[1])
        return embed(grid, dropout)

    monkeypatch.setattr(network.model, "embed_pixels", count)
    objective = PreTrainingObjective(network, replace(PreTrainingOptions(), sampling=sampling)).train(training)

    objective(batch_of(network))

    assert set(seen) == {read}


def test_where_masked_words_are_left_out_no_word_is_masked(
    network: PixelBertForPreTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    embed = network.model.embed_words
    monkeypatch.setattr(network.model, "embed_words", lambda ids: seen.append(ids) or embed(ids))  # type: ignore[func-returns-value]
    batch = batch_of(network)

    PreTrainingObjective(network, PreTrainingOptions(masked_words=False))(batch)

    assert torch.equal(seen[0], batch.ids)
    assert torch.equal(seen[1], batch.ids.flip(0))
