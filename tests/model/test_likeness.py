"""Near-duplicates detected using small copies of pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pixsearch.model.likeness import ALIKE, likeness_of, pack_small


def scene(seed: int = 0) -> Image.Image:
    """Return a picture with large shapes that does not resemble one with a different seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def plane_in_the_sky(left: int, top: int, wide: int, tall: int) -> Image.Image:
    picture = Image.new("RGB", (640, 480), (90, 150, 230))
    ImageDraw.Draw(picture).ellipse((left, top, left + wide, top + tall), fill=(60, 60, 70))
    return picture


def brighter_towards_the_sky(seed: int) -> Image.Image:
    """Return a different scene for each seed, all lit in the same way."""
    light = np.linspace(230, 40, 480)[:, None, None]
    own = np.asarray(scene(seed), np.float32) - 128
    return Image.fromarray(np.clip(light + own * 0.3, 0, 255).astype(np.uint8))


def likeness(one: Image.Image, other: Image.Image) -> float:
    """Return the likeness that a model sees if it squashes pictures to a square."""
    return likeness_of(*(pack_small(np.asarray(picture.resize((224, 224)))) for picture in (one, other)))


def compressed(picture: Image.Image) -> Image.Image:
    file = io.BytesIO()
    picture.resize((160, 120)).save(file, "JPEG", quality=30)
    return Image.open(file)


def test_a_picture_is_wholly_like_itself() -> None:
    assert likeness(scene(), scene()) == pytest.approx(1)


def test_copies_that_are_smaller_compressed_brighter_or_a_little_cut_are_alike() -> None:
    photo = scene()
    brighter = Image.fromarray(np.clip(np.asarray(photo) * 1.2, 0, 255).astype(np.uint8))
    cut = photo.crop((13, 10, 627, 470))

    assert min(likeness(photo, copy) for copy in (compressed(photo), brighter, cut)) > ALIKE


def test_the_other_side_of_the_scale_is_a_negative() -> None:
    photo = scene()
    negative = Image.fromarray(255 - np.asarray(photo))

    assert likeness(photo, negative) == pytest.approx(1 - 0.15 * 2 / 0.2, abs=1e-3)  # a correlation of -1


def test_two_planes_in_front_of_one_sky_are_not_alike() -> None:
    assert likeness(plane_in_the_sky(100, 80, 200, 60), plane_in_the_sky(330, 260, 80, 160)) < ALIKE


def test_two_scenes_in_the_same_light_are_not_alike() -> None:
    one, other = brighter_towards_the_sky(1), brighter_towards_the_sky(2)

    pixels = np.stack([np.asarray(picture, np.float64).ravel() for picture in (one, other)])
    assert np.corrcoef(pixels).min() > 0.85  # their pixels alone are nearly alike
    assert likeness(one, other) < ALIKE


@pytest.mark.parametrize(("other", "alike"), [((203, 32, 32), True), ((210, 32, 32), False)])
def test_pictures_of_one_colour_are_alike_if_it_is_the_same(other: tuple[int, int, int], alike: bool) -> None:
    plain = [Image.new("RGB", (64, 64), colour) for colour in ((200, 32, 32), other)]

    assert (likeness(*plain) >= ALIKE) == alike


def test_a_picture_of_one_colour_is_not_like_one_that_shows_something() -> None:
    assert likeness(Image.new("RGB", (64, 64), "grey"), scene()) < ALIKE
