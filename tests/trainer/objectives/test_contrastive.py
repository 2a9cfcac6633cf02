"""ITC and ITM, against what is worked out from the network's own embeddings."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.losses import cosines
from pixsearch_trainer.objectives.contrastive import (
    ContrastiveObjective,
    ContrastiveOptions,
    MomentumModel,
    draw_hard,
)
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings

FIRST_STAGE = ContrastiveOptions(matching_weight=0)


@pytest.fixture
def network(tiny_start: Path) -> PixelBertForRetrieval:
    network = load_checkpoint(tiny_start)[0]
    network.maps.log_scale.data.fill_(math.log(10))
    return network


def batch_of(network: PixelBertForRetrieval, pictures: list[int], captions: list[int], seed: int = 0) -> PairBatch:
    """Random grids; caption n is a word of its own."""
    chance = torch.Generator().manual_seed(seed)
    grid = torch.rand(len(pictures), 4, network.model.backbone.channels, generator=chance)
    ids = torch.tensor([[101, 104 + caption, 102] for caption in captions])
    mask, everything = torch.ones_like(ids, dtype=torch.bool), torch.ones(len(pictures), 4, dtype=torch.bool)
    return PairBatch(torch.tensor(pictures), torch.tensor(captions), ids, mask, None, grid, everything, [])


def embedded(network: PixelBertForRetrieval, batch: PairBatch) -> tuple[Tensor, Tensor]:
    assert batch.grid is not None
    with torch.no_grad():
        return network.embed_image(batch.grid), network.embed_text(batch.ids, batch.mask)


def both_ways(scores: Tensor, targets: list[list[float]]) -> float:
    return (mean_cross_entropy(scores, targets) + mean_cross_entropy(scores.T, targets)) / 2


def mean_cross_entropy(scores: Tensor, targets: list[list[float]]) -> float:
    """Row by row, by plain arithmetic."""
    total = 0.0
    for row, wanted in zip(scores.tolist(), targets, strict=True):
        log_sum = math.log(sum(math.exp(score) for score in row))
        total -= sum(share * (score - log_sum) for score, share in zip(row, wanted, strict=True))
    return total / len(targets)


def test_itc_is_the_cross_entropy_both_ways(network: PixelBertForRetrieval) -> None:
    batch = batch_of(network, [0, 1, 2], [0, 1, 2])
    images, texts = embedded(network, batch)
    one_hot = torch.eye(3).tolist()

    loss = ContrastiveObjective(network.eval(), FIRST_STAGE)(batch)["loss"].item()

    scores = 10 * texts @ images.T
    assert loss == pytest.approx(
        (mean_cross_entropy(scores, one_hot) + mean_cross_entropy(scores.T, one_hot)) / 2, rel=1e-4
    )


def test_late_interaction_learns_by_itc_of_its_own_where_the_network_has_it(network: PixelBertForRetrieval) -> None:
    """Captions 0 and 1 are of one picture; the score of each pair is that of the pair alone."""
    batch, late = batch_of(network, [7, 7, 8], [0, 1, 2]), network.late_interaction
    assert batch.grid is not None
    objective = ContrastiveObjective(network.eval(), FIRST_STAGE)
    assert "late" not in objective(batch)

    late.scale.data.fill_(5)
    losses = objective(batch)

    with torch.no_grad():
        words, grid = network.read_each_word(batch.ids, batch.mask), network.model.standardise(batch.grid)
        scores = torch.stack([late(words[n : n + 1], batch.mask[n : n + 1], grid) for n in range(3)])
    wanted = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert losses["late"].item() == pytest.approx(both_ways(scores, wanted), rel=1e-4)
    assert losses["loss"].item() == pytest.approx(losses["itc"].item() + losses["late"].item(), rel=1e-5)
    losses["loss"].backward()
    assert late.pixel_map.weight.grad is not None
    assert late.pixel_map.weight.grad.abs().sum() > 0


def test_captions_of_a_picture_and_pictures_of_a_caption_share_the_target(network: PixelBertForRetrieval) -> None:
    """Rows 0 and 1 are two captions of picture 7; rows 2 and 3 are two pictures with the caption 5."""
    batch = batch_of(network, [7, 7, 8, 9], [1, 2, 5, 5])
    images, texts = embedded(network, batch)
    shared: list[list[float]] = [[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]]

    loss = ContrastiveObjective(network.eval(), FIRST_STAGE)(batch)["itc"].item()

    scores = 10 * texts @ images.T
    assert loss == pytest.approx(
        (mean_cross_entropy(scores, shared) + mean_cross_entropy(scores.T, shared)) / 2, rel=1e-4
    )


def test_similarities_are_whole_under_autocast() -> None:
    torch.manual_seed(0)
    one, other = (torch.nn.functional.normalize(torch.randn(5, 300), dim=1) for _ in range(2))

    with torch.autocast("cpu", torch.bfloat16):
        found = cosines(one, other)

    assert found.dtype == torch.float32
    assert torch.equal(found, one @ other.T)


def test_the_queue_holds_the_newest_pairs_first_and_they_are_contrasted_with(network: PixelBertForRetrieval) -> None:
    objective = ContrastiveObjective(network.eval(), replace(FIRST_STAGE, queue=3, momentum=1.0)).eval()
    first, second = batch_of(network, [0, 1], [0, 1]), batch_of(network, [2, 0], [2, 3], seed=1)
    assert objective.slow is not None

    before = objective(first)["itc"].item()
    queued = objective.slow.pictures.tolist(), objective.slow.captions.tolist()
    after = objective(second)["itc"].item()

    images, texts = embedded(network, first)
    alone, one_hot = 10 * texts @ images.T, torch.eye(2).tolist()
    assert before == pytest.approx(both_ways(alone, one_hot), rel=1e-4)
    assert queued == ([0, 1, -1], [0, 1, -1])
    now_images, now_texts = embedded(network, second)
    # Against the two of this batch and the two of the queue, of which the first is picture 0 as row 1 is.
    targets: list[list[float]] = [[1, 0, 0, 0], [0, 0.5, 0.5, 0]]
    to_pictures = 10 * now_texts @ torch.cat([now_images, images]).T
    to_captions = 10 * now_images @ torch.cat([now_texts, texts]).T
    expected = (mean_cross_entropy(to_pictures, targets) + mean_cross_entropy(to_captions, targets)) / 2
    assert after == pytest.approx(expected, rel=1e-4)
    assert objective.slow.pictures.tolist() == [2, 0, 0]


def test_soft_labels_are_the_momentum_models_share_of_the_targets(network: PixelBertForRetrieval) -> None:
    batch = batch_of(network, [0, 1], [0, 1])
    images, texts = embedded(network, batch)
    scores = 10 * texts @ images.T

    options = replace(FIRST_STAGE, soft_labels=0.4, momentum=1.0)
    loss = ContrastiveObjective(network.eval(), options).eval()(batch)["itc"].item()

    def mixed(scores: Tensor) -> list[list[float]]:
        wanted: list[list[float]] = (0.6 * torch.eye(2) + 0.4 * scores.softmax(1)).tolist()
        return wanted

    expected = (mean_cross_entropy(scores, mixed(scores)) + mean_cross_entropy(scores.T, mixed(scores.T))) / 2
    assert loss == pytest.approx(expected, rel=1e-4)


def test_the_momentum_model_goes_a_little_of_the_way(network: PixelBertForRetrieval) -> None:
    slow = MomentumModel(network, queue=0, momentum=0.9)
    network.image_gate.data.fill_(1.0)

    slow.follow(network)
    slow.follow(network)

    assert slow.network.image_gate.item() == pytest.approx(1 - 0.9**2)


def test_no_gradient_reaches_the_momentum_model(network: PixelBertForRetrieval) -> None:
    objective = ContrastiveObjective(network, replace(FIRST_STAGE, queue=4, soft_labels=0.5))

    objective(batch_of(network, [0, 1], [0, 1]))["loss"].backward()

    assert objective.slow is not None
    assert all(parameter.grad is None for parameter in objective.slow.parameters())
    assert network.maps.text_map.weight.grad is not None


def test_a_teacher_takes_the_place_of_the_pairs_by_its_weight(network: PixelBertForRetrieval) -> None:
    """The places in the data set are 3 and 5, of the captions 4 and 2."""
    torch.manual_seed(0)
    said_images, said_texts = (torch.nn.functional.normalize(torch.randn(6, 7), dim=1) for _ in range(2))
    teacher = TeacherEmbeddings(said_images, said_texts, scale=5.0)
    batch = batch_of(network, [3, 5], [4, 2])
    images, texts = embedded(network, batch)

    options = replace(FIRST_STAGE, teacher_weight=0.75)
    losses = ContrastiveObjective(network.eval(), options, teacher)(batch)

    scores = 10 * texts @ images.T
    said = 5 * said_texts[[4, 2]] @ said_images[[3, 5]].T
    wanted = said.softmax(1).tolist(), said.T.softmax(1).tolist()
    expected = (mean_cross_entropy(scores, wanted[0]) + mean_cross_entropy(scores.T, wanted[1])) / 2
    assert losses["teacher"].item() == pytest.approx(expected, rel=1e-4)
    total = 0.25 * losses["itc"].item() + 0.75 * losses["teacher"].item()
    assert losses["loss"].item() == pytest.approx(total, rel=1e-5)


def test_a_hard_partner_is_false_and_the_likelier_the_more_it_looks_true() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[9.0, math.log(6), math.log(3), 0.0]]).expand(4000, 4)
    false = torch.tensor([[False, True, True, True]]).expand(4000, 4)

    counts = draw_hard(logits, false).bincount(minlength=4).tolist()

    # 6, 3 and 1 of 10.
    assert counts[0] == 0
    for count, share in zip(counts[1:], (0.6, 0.3, 0.1), strict=True):
        assert abs(count - 4000 * share) < 4 * math.sqrt(4000 * share * (1 - share))


def test_itm_judges_each_pair_and_a_false_partner_of_each_side(
    network: PixelBertForRetrieval, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows 0 and 1 have the same picture, so that each has only row 2 for a false partner."""
    batch = batch_of(network, [7, 7, 8], [0, 1, 2])
    asked: list[tuple[int, int]] = []
    match = network.match

    def note(ids: Tensor, mask: Tensor, grid: Tensor, similarity: Tensor, pixel_mask: Tensor) -> Tensor:
        assert batch.grid is not None
        for words, pixels in zip(ids, grid, strict=True):
            picture = next(row for row, own in enumerate(batch.grid) if torch.equal(own, pixels))
            asked.append((int(words[1]) - 104, picture))
        assert not similarity.requires_grad
        return match(ids, mask, grid, similarity, pixel_mask)

    monkeypatch.setattr(network, "match", note)

    losses = ContrastiveObjective(network, ContrastiveOptions())(batch)

    assert asked[:3] == [(0, 0), (1, 1), (2, 2)]
    assert asked[3:5] == [(0, 2), (1, 2)]  # captions 0 and 1 with the one false picture
    assert asked[5] in ((2, 0), (2, 1))
    assert asked[6:8] == [(2, 0), (2, 1)]  # pictures 0 and 1 with the one false caption
    assert asked[8] in ((0, 2), (1, 2))
    assert losses["loss"].item() == pytest.approx(losses["itc"].item() + losses["itm"].item())


def test_pixels_are_sampled_in_training_only(network: PixelBertForRetrieval, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    embed = network.embed_image

    def count(grid: Tensor, pixel_mask: Tensor) -> Tensor:
        seen.append(grid.shape[1])
        return embed(grid, pixel_mask)

    monkeypatch.setattr(network, "embed_image", count)
    objective = ContrastiveObjective(network, replace(FIRST_STAGE, sampled_pixels=2))

    objective.train()(batch_of(network, [0, 1], [0, 1]))
    objective.eval()(batch_of(network, [0, 1], [0, 1]))

    assert seen == [2, 4]
