"""Which pictures a step draws."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from pixsearch_trainer.batches.draws import Draws, InOrder, generator_of, mixed_seed


def test_an_epoch_draws_every_picture_once() -> None:
    draws = Draws(torch.ones(12), 4, seed=0)

    assert draws.steps_an_epoch == 3
    for epoch in range(2):
        drawn = [place for step in range(3) for place in draws.at(3 * epoch + step).tolist()]
        assert sorted(drawn) == list(range(12))


def test_another_epoch_and_another_seed_draw_in_another_order() -> None:
    draws = Draws(torch.ones(50), 50, seed=0)

    first, second = draws.at(0).tolist(), draws.at(1).tolist()

    assert first != second
    assert first != Draws(torch.ones(50), 50, seed=1).at(0).tolist()


def test_what_a_step_draws_does_not_depend_on_the_steps_before_it() -> None:
    walked = Draws(torch.ones(20), 4, seed=3)
    in_turn = [walked.at(step).tolist() for step in range(12)]

    jumped = Draws(torch.ones(20), 4, seed=3)

    assert [jumped.at(step).tolist() for step in (11, 2, 7)] == [in_turn[step] for step in (11, 2, 7)]


def test_a_picture_of_a_fifth_of_the_weight_is_drawn_in_a_fifth_of_the_epochs() -> None:
    draws = Draws(torch.tensor([1.0] * 40 + [0.2] * 50), 10, seed=0)

    assert draws.steps_an_epoch == 5  # 40 + 50 / 5 pictures
    counts = Counter(place for step in range(1000) for place in draws.at(step).tolist())
    light = sum(count for place, count in counts.items() if place >= 40)
    # Drawn without replacement, the heavy ones cannot all be: the light get somewhat more than their 10 of 50.
    assert 10 / 50 < light / counts.total() < 0.35
    assert max(counts.values()) <= 200


def test_a_picture_of_no_weight_is_never_drawn_and_a_batch_is_never_larger_than_what_there_is() -> None:
    draws = Draws(torch.tensor([1.0, 0.0, 1.0]), 8, seed=0)

    assert draws.batch == 2
    assert sorted(draws.at(5).tolist()) == [0, 2]


def test_the_pictures_of_an_item_are_drawn_together() -> None:
    draws = Draws(torch.ones(6), 3, seed=0, pictures_an_item=2)

    drawn = draws.at(0).tolist()

    assert len(drawn) == 6
    assert all(left % 2 == 0 and right == left + 1 for left, right in zip(drawn[::2], drawn[1::2], strict=True))


def test_in_order_is_every_picture_once_and_then_nothing() -> None:
    draws = InOrder(5, 2)

    assert draws.steps_an_epoch == 3
    assert [draws.at(step).tolist() for step in range(4)] == [[0, 1], [2, 3], [4], []]


@pytest.mark.parametrize("numbers", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)])
def test_numbers_that_differ_little_seed_streams_that_share_nothing(numbers: tuple[int, ...]) -> None:
    one = torch.rand(100, generator=generator_of(*numbers))
    other = torch.rand(100, generator=generator_of(*numbers[:-1], numbers[-1] + 2))

    assert 0 <= mixed_seed(*numbers) < 2**63
    assert torch.equal(one, torch.rand(100, generator=generator_of(*numbers)))
    assert not (one[:, None] == other[None, :]).any()
