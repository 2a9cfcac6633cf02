"""The thresholds for near-duplicates, and the likeness of two pictures by small copies of them.

A model that keeps pixel features compares those (`PixelBertRuntime.likeness`); for others a small copy is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

MAY_BE_ALIKE, ALIKE = 0.9, 0.85
"""Cosine of embeddings and likeness of what is kept of pictures from which on two are near-duplicates. The embedding
alone will not do: two daisies are as near to each other as two copies of one. docs/experiments.md has the figures."""

CORRELATED = 0.8
"""The correlation of small copies' steps from which on two pictures are near-duplicates (docs/experiments.md)."""
_EDGE = 16
"""Pixels: what is left of a photo then is its composition, which compressing and scaling leave as it is."""
_FLAT = 1.0
"""The standard deviation of a channel, of 255, below which a picture shows nothing that could be compared."""
_SAME_COLOUR = 4.0
"""The largest difference, of 255, of two pictures that have no detail to compare."""


def pack_small(pixels: NDArray[np.uint8]) -> bytes:
    """Return the small copy of a picture [rows, columns, 3]."""
    return Image.fromarray(pixels).resize((_EDGE, _EDGE), Image.Resampling.BOX).tobytes()


def unpack_small(copies: Sequence[bytes]) -> Floats:
    """Return the pixels of small copies [copies, rows, columns, 3]."""
    return np.stack([np.frombuffer(one, np.uint8).reshape(_EDGE, _EDGE, 3) for one in copies]).astype(np.float32)


def unit_steps(pixels: Floats) -> Floats:
    """Pixels [copies, rows, columns, 3] -> the steps from each to its neighbours, unit vectors [copies, steps].

    The product of two is their correlation. Pixels themselves will not do: any two photos with a bright sky above
    dark ground correlate, and so do any two with a blue background.
    """
    steps = np.concatenate([np.diff(pixels, axis=axis).reshape(len(pixels), -1) for axis in (1, 2)], axis=1)
    units: Floats = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return units


def likeness_of(one: bytes, other: bytes) -> float:
    """Return how much two small copies are alike: 1 for the same, ALIKE where their correlation is just enough.

    Pictures of hardly more than one colour are alike if that colour is the same.
    """
    pixels = unpack_small([one, other])
    if (pixels.std(axis=(1, 2)).mean(axis=1) < _FLAT).any():
        return 1 - (1 - ALIKE) * float(np.abs(pixels[0] - pixels[1]).max()) / _SAME_COLOUR
    steps = unit_steps(pixels)
    return 1 - (1 - ALIKE) * (1 - float(steps[0] @ steps[1])) / (1 - CORRELATED)
