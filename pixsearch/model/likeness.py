"""The thresholds for near-duplicates, and the likeness of two pictures based on small copies.

Small copies are stored for models without pixel features. Other models compare the pixel features instead
(`PixelBertRuntime.likeness`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

MAY_BE_ALIKE, ALIKE = 0.9, 0.85
"""The minimum cosine between the embeddings of near-duplicates, and their minimum likeness.

Embeddings alone are not enough: photos of two daisies are as close to each other as two copies of one photo.
docs/experiments.md has the figures.
"""

CORRELATED = 0.8
"""The minimum correlation between the steps in small copies of near-duplicates (docs/experiments.md)."""
_EDGE = 16
"""The edge of a small copy in pixels. It only shows a photo's composition, which survives compression and scaling."""
_FLAT = 1.0
"""The minimum standard deviation of a picture with enough detail to compare, for values up to 255."""
_SAME_COLOUR = 4.0
"""The maximum difference between near-duplicates without enough detail to compare, for values up to 255."""


def pack_small(pixels: NDArray[np.uint8]) -> bytes:
    """Return the small copy of a picture [rows, columns, 3]."""
    return Image.fromarray(pixels).resize((_EDGE, _EDGE), Image.Resampling.BOX).tobytes()


def unpack_small(copies: Sequence[bytes]) -> Floats:
    """Return the pixels of small copies [copies, rows, columns, 3]."""
    return np.stack([np.frombuffer(one, np.uint8).reshape(_EDGE, _EDGE, 3) for one in copies]).astype(np.float32)


def unit_steps(pixels: Floats) -> Floats:
    """Return the steps between neighbouring pixels [copies, rows, columns, 3] as unit vectors [copies, steps].

    The dot product of two such vectors is their correlation. Correlating the pixels themselves is not enough: any two
    photos with a bright sky above dark ground correlate, and so do any two with a blue background.
    """
    steps = np.concatenate([np.diff(pixels, axis=axis).reshape(len(pixels), -1) for axis in (1, 2)], axis=1)
    units: Floats = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return units


def likeness_of(one: bytes, other: bytes) -> float:
    """Return how alike two small copies are: 1 if they are equal, ALIKE if they are only just near-duplicates.

    Pictures that are almost a single colour are alike if they have the same colour.
    """
    pixels = unpack_small([one, other])
    if (pixels.std(axis=(1, 2)).mean(axis=1) < _FLAT).any():
        return 1 - (1 - ALIKE) * float(np.abs(pixels[0] - pixels[1]).max()) / _SAME_COLOUR
    steps = unit_steps(pixels)
    return 1 - (1 - ALIKE) * (1 - float(steps[0] @ steps[1])) / (1 - CORRELATED)
