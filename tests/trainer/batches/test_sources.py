"""The inputs of a step: decoded, augmented or mirrored pictures, or cached grids, with captions."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pixsearch.errors import DatasetError
from pixsearch.model.processor import PixelBertProcessor
from pixsearch_trainer.batches.draws import CaptionedSet, Draws, PairsAt
from pixsearch_trainer.batches.sources import Augmentation, cached_grids, packed_pixels, pair_batches, pooled_grids
from tests.trainer.conftest import Pictures
from tests.trainer.made_up import chance, grid_of, pixels_of, store_of


def drawn_from(pictures: Pictures) -> PairsAt:
    data = CaptionedSet(pictures, seed=0)
    return data.pairs_at(Draws(data.weights, 8, seed=0).at, mirror=True)


def seen(
    pictures: Pictures,
    processor: PixelBertProcessor,
    augmentation: Augmentation | None = None,
    workers: int = 0,
    seed: int = 0,
    steps: range = range(3),
) -> list[Tensor]:
    """Return the pictures in each step [8, 3, 64, 64]."""
    source = packed_pixels(pictures, processor, augmentation, workers, seed)(drawn_from(pictures), steps.start)
    return [torch.stack(step.pixels or []) for step in islice(source, len(steps))]


def test_a_row_is_the_drawn_picture_mirrored_where_it_was_drawn_so(
    packed: Pictures, processor: PixelBertProcessor
) -> None:
    drawn = [drawn_from(packed)(step) for step in range(3)]

    for pairs, pixels in zip(drawn, seen(packed, processor), strict=True):
        expected = pixels_of([packed[index] for index in pairs.pictures.tolist()])
        expected[pairs.mirrored] = expected[pairs.mirrored].flip(3)
        assert torch.allclose(pixels, expected, atol=1e-5)
    assert set(torch.cat([pairs.mirrored for pairs in drawn]).tolist()) == {False, True}


def test_workers_and_where_a_run_began_change_nothing(packed: Pictures, processor: PixelBertProcessor) -> None:
    whole = seen(packed, processor, Augmentation(), steps=range(5))

    by_workers = seen(packed, processor, Augmentation(), workers=2, steps=range(2, 5))

    assert all(torch.equal(*pair) for pair in zip(by_workers, whole[2:], strict=True))


def test_augmented_views_differ_by_step_place_and_seed_and_leave_the_chance_of_the_training_alone(
    packed: Pictures, processor: PixelBertProcessor
) -> None:
    before = torch.get_rng_state()

    views = torch.cat([view for seed in (0, 1) for view in seen([packed[0]] * 8, processor, Augmentation(), 0, seed)])

    assert len({view.numpy().tobytes() for view in views}) == 2 * 3 * 8
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])  # stopping such a worker takes 5 s
def test_a_picture_that_is_damaged_is_named_from_whichever_process(
    packed: Pictures, processor: PixelBertProcessor, tmp_path: Path, workers: int
) -> None:
    with ZipFile(tmp_path / "pack.zip", "w") as archive:
        archive.writestr("000007.jpg", b"\xff\xd8 cut")
    damaged = replace(packed[0], file=tmp_path / "pack.zip" / "000007.jpg")

    with pytest.raises(DatasetError, match=r"000007\.jpg in the pack"):
        seen([damaged, *packed[1:8]], processor, workers=workers)


def test_a_batch_has_of_each_drawn_picture_its_name_its_grid_and_a_caption_of_its_own(
    packed: Pictures, processor: PixelBertProcessor
) -> None:
    data, pairs_at = CaptionedSet(packed, seed=0), drawn_from(packed)
    views = torch.rand(2, 32, 2, 8, generator=chance())  # plain and mirrored
    source = cached_grids(*map(store_of, views))

    made = pair_batches(data, pairs_at, source, processor, torch.device("cpu"))(3)

    for step, batch in enumerate(islice(made, 3), 3):
        assert torch.equal(batch.pictures, pairs_at(step).pictures)
        assert torch.allclose(grid_of(batch), views[pairs_at(step).mirrored.long(), batch.pictures], atol=1 / 500)
        assert batch.names == [str(packed[index].file) for index in batch.pictures.tolist()]
        for index, caption, ids in zip(batch.pictures.tolist(), batch.captions.tolist(), batch.ids, strict=True):
            sentence = data.captions.sentences[caption]
            assert sentence in packed[index].captions
            # The tiny tokenizer splits words into letters.
            first, second, _, third = (ord(letter) - ord("a") for letter in sentence)
            assert ids.tolist() == [101, 104 + first, 130 + second, 104 + third, 102]
        assert batch.mask.all()


def test_pooled_grids_are_the_views_drawn_from_the_first_step_on_and_no_words_are_read(
    packed: Pictures, processor: PixelBertProcessor
) -> None:
    data, pairs_at, views = CaptionedSet(packed, seed=0), drawn_from(packed), torch.rand(32, 2, 8)

    made = pair_batches(data, pairs_at, pooled_grids(views), processor, torch.device("cpu"), words=False)(1)

    for step, batch in enumerate(islice(made, 2), 1):
        pairs = pairs_at(step)
        assert batch.inputs.pooled is not None
        assert torch.equal(batch.inputs.pooled, views[pairs.pictures, pairs.mirrored.long()])
        assert len(batch.ids) == 0


def test_an_augmented_picture_keeps_half_of_its_area_nearly_its_shape_and_its_light() -> None:
    grey = Image.new("RGB", (90, 120), (100, 100, 100))  # contrast and saturation have no effect on grey
    torch.manual_seed(0)

    made = [Augmentation(smallest_crop=0.5, stretch=1.3, light=0.25)(grey) for _ in range(200)]

    shares = sorted(one.width * one.height / (90 * 120) for one in made)
    stretches = sorted((one.width / one.height) / (90 / 120) for one in made)
    lights = sorted(int(np.asarray(one).max()) for one in made)
    assert 0.49 < shares[0] < 0.6 < 0.9 < shares[-1] <= 1  # rounded to the next pixel, like the numbers below
    assert 1 / 1.33 < stretches[0] < 0.85 < 1.18 < stretches[-1] < 1.33
    assert 74 <= lights[0] < 80 < 120 < lights[-1] <= 126
