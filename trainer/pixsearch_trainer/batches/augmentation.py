"""Pictures as they might also have been taken: another crop, mirrored, in another light."""

from __future__ import annotations

import re
from collections.abc import Callable

from PIL import Image, ImageOps

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from torchvision.transforms import v2  # isort: skip

_OTHER_SIDE = {"left": "right", "right": "left"}


def augmentation(smallest_crop: float = 0.6, light: float = 0.2) -> Callable[[Image.Image], Image.Image]:
    """A random crop and a random light; torch's global generator decides.

    Args:
        smallest_crop: share of the picture's area that a crop keeps at least.
        light: how far brightness, contrast and saturation may go from what they are.
    """
    jitter = v2.ColorJitter(brightness=light, contrast=light, saturation=light)

    def augment(picture: Image.Image) -> Image.Image:
        scale, ratio = [smallest_crop, 1.0], [3 / 4, 4 / 3]
        top, left, height, width = v2.RandomResizedCrop.get_params(picture, scale, ratio)
        augmented: Image.Image = jitter(picture.crop((left, top, left + width, top + height)))
        return augmented

    return augment


def mirrored(picture: Image.Image) -> Image.Image:
    """The picture as a mirror shows it."""
    return ImageOps.mirror(picture)


def mirrored_caption(caption: str) -> str:
    """The caption of the mirrored picture: left and right change places."""

    def swap(match: re.Match[str]) -> str:
        word = match.group()
        other = _OTHER_SIDE[word.lower()]
        return other.capitalize() if word[0].isupper() else other

    return re.sub(r"\b(?:left|right)\b", swap, caption, flags=re.IGNORECASE)
