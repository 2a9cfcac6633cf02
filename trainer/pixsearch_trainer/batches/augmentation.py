"""Pictures as they might also have been taken: another crop, in another light."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from torchvision.transforms import v2  # isort: skip

_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Augmentation:
    """How far a picture may be changed."""

    smallest_crop: float = 0.5
    """Share of the picture's area that a crop keeps at least."""
    stretch: float = 1.3
    """How much longer one edge may become against the other."""
    light: float = 0.25
    """How far brightness, contrast and saturation may go from what they are."""

    def function(self) -> Callable[[Image.Image], Image.Image]:
        """Return what changes a picture; torch's global generator decides."""
        jitter = v2.ColorJitter(brightness=self.light, contrast=self.light, saturation=self.light)

        def augment(picture: Image.Image) -> Image.Image:
            ratio = [edge * picture.width / picture.height for edge in (1 / self.stretch, self.stretch)]
            top, left, height, width = v2.RandomResizedCrop.get_params(picture, [self.smallest_crop, 1.0], ratio)
            augmented: Image.Image = jitter(picture.crop((left, top, left + width, top + height)))
            return augmented

        return augment


def names_a_side(caption: str) -> bool:
    """Whether a caption says left or right, and so is not true of the mirrored picture."""
    return _SIDE.search(caption) is not None
