"""What a student learns from a teacher's embeddings, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from pixsearch_trainer.objectives.distillation import (
    TeacherEmbeddings,
    distillation_loss,
    draw_texts,
    nearest_texts,
    teacher_targets,
)

LOG_3 = math.log(3)


def test_targets_are_the_softmax_of_scaled_cosines_over_pictures_and_over_texts() -> None:
    # Cosines: the first text 1 and 0, the second 0 and 1, the third 0.6 and 0.8. Times log 3: 3^cosine as odds.
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])

    to_pictures, to_texts = teacher_targets(images, texts, scale=LOG_3)

    between = 3**0.6 / (3**0.6 + 3**0.8)
    assert to_pictures.flatten().tolist() == pytest.approx([3 / 4, 1 / 4, 1 / 4, 3 / 4, between, 1 - between])
    first, second = 3 + 1 + 3**0.6, 1 + 3 + 3**0.8
    expected = [3 / first, 1 / first, 3**0.6 / first, 1 / second, 3 / second, 3**0.8 / second]
    assert to_texts.flatten().tolist() == pytest.approx(expected)


def test_targets_of_half_precision_are_whole() -> None:
    vectors = F.normalize(torch.randn(50, 16, generator=torch.Generator().manual_seed(0)), dim=-1).half()

    to_pictures, to_texts = teacher_targets(vectors[:20], vectors[20:], scale=100.0)

    assert to_pictures.dtype == to_texts.dtype == torch.float32
    assert to_pictures.sum(1).tolist() == pytest.approx([1] * 30)
    assert to_texts.sum(1).tolist() == pytest.approx([1] * 20)


def test_targets_of_a_batch_are_those_of_the_places_drawn() -> None:
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]).half()
    embeddings = TeacherEmbeddings(images, images, scale=LOG_3)

    to_pictures, to_texts = embeddings.targets(torch.tensor([1, 0]), torch.tensor([0]))

    assert to_pictures.tolist() == [pytest.approx([1 / 4, 3 / 4])]
    assert to_texts.tolist() == [[1.0], [1.0]]


def test_the_loss_is_the_mean_of_the_cross_entropies_both_ways() -> None:
    # Rows: softmax of [log 3, 0] is [3/4, 1/4], of [0, 0] halves. Columns: [3/4, 1/4] and halves likewise.
    logits = torch.tensor([[LOG_3, 0.0], [0.0, 0.0]])
    to_pictures = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    to_texts = torch.tensor([[0.0, 1.0], [0.25, 0.75]])
    pictures = (-0.5 * math.log(3 / 4) - 0.5 * math.log(1 / 4) + math.log(2)) / 2
    texts = (-math.log(1 / 4) + math.log(2)) / 2

    loss = distillation_loss(logits, to_pictures, to_texts)

    assert loss.item() == pytest.approx((pictures + texts) / 2)


def test_the_loss_weighs_both_ways_alike_where_there_are_more_texts_than_pictures() -> None:
    to_pictures, to_texts = torch.full((4, 2), 1 / 2), torch.full((2, 4), 1 / 4)

    loss = distillation_loss(torch.zeros(4, 2), to_pictures, to_texts)

    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_nothing_pulls_at_a_student_that_scores_as_its_teacher() -> None:
    vectors = F.normalize(torch.randn(9, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    images, texts = vectors[:4], vectors[4:]
    logits = (10 * texts @ images.T).requires_grad_()

    distillation_loss(logits, *teacher_targets(images, texts, scale=10.0)).backward()

    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-7


@pytest.mark.parametrize("at_once", [1, 70, 1 << 24])
def test_nearest_texts_are_those_of_highest_cosine_in_their_order(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_trainer.objectives.distillation._SCORES_AT_ONCE", at_once)
    # The texts stand at 0, 10, .. 90 degrees, the pictures at 2, 33, 61 and 88.
    angles = torch.deg2rad(torch.arange(0.0, 100.0, 10.0))
    seen = torch.deg2rad(torch.tensor([2.0, 33.0, 61.0, 88.0]))
    texts, images = (torch.stack([of.cos(), of.sin()], dim=1).half() for of in (angles, seen))

    nearest = nearest_texts(TeacherEmbeddings(images, texts, 100.0), k=3)

    assert nearest.tolist() == [[0, 1, 2], [3, 4, 2], [6, 7, 5], [9, 8, 7]]


def test_a_bank_of_fewer_texts_than_wanted_is_taken_whole() -> None:
    vectors = torch.eye(2).half()

    assert nearest_texts(TeacherEmbeddings(vectors, vectors, 100.0), k=5).tolist() == [[0, 1], [1, 0]]


def test_a_picture_draws_any_of_its_own_nearest_texts_and_no_other() -> None:
    nearest = torch.tensor([[10, 11, 12], [20, 21, 22], [30, 31, 32]])
    pictures = torch.tensor([2, 0]).repeat(100)

    drawn = draw_texts(nearest, pictures)

    assert set(drawn[pictures == 2].tolist()) == {30, 31, 32}
    assert set(drawn[pictures == 0].tolist()) == {10, 11, 12}


def test_the_same_seed_draws_the_same_texts() -> None:
    nearest, pictures = torch.arange(500).view(5, 100), torch.arange(5)
    torch.manual_seed(3)
    first, second = draw_texts(nearest, pictures), draw_texts(nearest, pictures)
    torch.manual_seed(3)

    assert draw_texts(nearest, pictures).equal(first)
    assert not first.equal(second)
