"""The pictures and captions that a step draws depend only on the seed and the step."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from pixsearch_trainer.batches.draws import CaptionedSet, Draws, generator_of, mixed_seed, names_a_side
from pixsearch_trainer.data.pairs import CaptionedPicture


def set_of(*captions: tuple[str, ...], seed: int = 0) -> CaptionedSet:
    return CaptionedSet([CaptionedPicture(Path(f"{number}"), own) for number, own in enumerate(captions)], seed)


def test_an_epoch_draws_every_picture_once_and_a_step_the_same_whatever_came_before_it() -> None:
    walked, jumped = (Draws(torch.ones(50), 10, seed=0) for _ in range(2))

    epochs = torch.stack([walked.at(step) for step in range(10)]).view(2, 5, 10)

    assert walked.steps_an_epoch == 5
    assert [sorted(epoch.flatten().tolist()) for epoch in epochs] == [list(range(50))] * 2
    assert not torch.equal(*epochs)
    assert torch.equal(torch.stack([jumped.at(step) for step in (8, 1, 6)]), epochs[[1, 0, 1], [3, 1, 1]])


def test_a_thread_that_reads_ahead_into_the_next_epoch_changes_no_step() -> None:
    """The captions of a step could belong to a different epoch than its pictures if the order changed in between."""
    alone, shared = (Draws(torch.ones(20), 20, seed=0) for _ in range(2))
    expected = [alone.at(step).tolist() for step in range(300)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads switch as often as possible
    with ThreadPoolExecutor(8) as threads:
        walks = list(threads.map(lambda _: [shared.at(step).tolist() for step in range(300)], range(8)))
    sys.setswitchinterval(interval)

    assert all(walk == expected for walk in walks)


def test_pictures_are_drawn_by_weight_and_a_batch_is_all_of_any_weight_at_most() -> None:
    """Without replacement, heavy pictures run out, so light ones get slightly more than their share of 10 / 50."""
    draws, few = Draws(torch.tensor([1.0] * 40 + [0.2] * 50), 10, seed=0), Draws(torch.tensor([1.0, 0.0, 1.0]), 8, 0)

    counts = Counter(index for step in range(1000) for index in draws.at(step).tolist())

    assert draws.steps_an_epoch == 5  # 40 + 50 / 5 pictures
    assert 10 / 50 < sum(count for index, count in counts.items() if index >= 40) / counts.total() < 0.35
    assert max(counts.values()) <= 200
    assert sorted(few.at(5).tolist()) == [0, 2]
    assert Draws(torch.ones(15), 16, seed=0, processes=2).batch == 14  # the same number for each process


@pytest.mark.parametrize("numbers", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)])
def test_numbers_that_differ_little_seed_streams_that_share_nothing(numbers: tuple[int, ...]) -> None:
    one = torch.rand(100, generator=generator_of(*numbers))
    other = torch.rand(100, generator=generator_of(*numbers[:-1], numbers[-1] + 2))

    assert 0 <= mixed_seed(*numbers) < 2**63
    assert torch.equal(one, torch.rand(100, generator=generator_of(*numbers)))
    assert not (one[:, None] == other[None, :]).any()


def test_a_picture_draws_captions_of_its_own_and_in_time_all_of_them() -> None:
    """The first and the last picture share a caption, which counts as one sentence."""
    data = set_of(("a", "b", "c"), ("d",), ("e", "a"))

    pairs_at = data.pairs_at(lambda step: torch.tensor([0, 1, 2]), mirror=False)
    steps = [pairs_at(step) for step in range(100)]

    drawn = [{data.captions.sentences[int(step.captions[row])] for step in steps} for row in range(3)]
    assert drawn == [{"a", "b", "c"}, {"d"}, {"a", "e"}]
    assert not any(step.mirrored.any() for step in steps)


def test_half_of_the_pictures_are_mirrored_but_none_whose_caption_says_left_or_right() -> None:
    data = set_of(*[("a dog", "on the left a dog")] * 400)

    pairs = data.pairs_at(lambda step: torch.arange(400), mirror=True)(0)

    one_sided = pairs.captions == 1
    assert not pairs.mirrored[one_sided].any()
    assert 0.35 < pairs.mirrored[~one_sided].float().mean() < 0.65  # of about 200
    assert [names_a_side(one) for one in ("Right in front", "left-handed", "bright leftovers")] == [True, True, False]


def test_processes_share_the_pairs_that_the_seed_and_the_step_draw() -> None:
    def drawn(step: int, seed: int = 0, **process: int) -> list[tuple[int, int, bool]]:
        data = set_of(*((f"{number}", f"{number} again") for number in range(32)), seed=seed)
        pairs = data.pairs_at(Draws(data.weights, 16, seed).at, mirror=True, **process)(step)
        return list(zip(*(part.tolist() for part in (pairs.pictures, pairs.captions, pairs.mirrored)), strict=True))

    for step in range(4):
        shares = [drawn(step, rank=rank, processes=2) for rank in (0, 1)]
        assert [len(share) for share in shares] == [8, 8]
        assert shares[0] + shares[1] == drawn(step)
    assert len({tuple(drawn(*key)) for key in ((0,), (1,), (2,), (0, 1))}) == 4
