"""From where on two pictures are near-duplicates, and how alike they are by small copies of them.

A model that keeps pixel features compares those (`PixelBertRuntime.likeness`); for others a small copy is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAY_BE_ALIKE, ALIKE = 0.9, 0.85
"""Cosine of embeddings and likeness of what is kept of pictures from which on two are near-duplicates. The embedding
alone will not do: two daisies are as near to each other as two copies of one. docs/experiments.md has the figures."""

EDGE = 16
"""Pixels: what is left of a photo then is its composition, which compressing and scaling leave as it is."""
_CORRELATED = 0.9
"""The correlation from which on two are near-duplicates (docs/experiments.md)."""
_FLAT = 1.0
"""The standard deviation of a channel, of 255, below which a picture shows nothing that could be compared."""
_SAME_COLOUR = 4.0
"""By how much, of 255, pictures without anything to compare may differ."""


def pack_small(pixels: NDArray[np.uint8]) -> bytes:
    """Return the small copy of a picture [rows, columns, 3]."""
    return Image.fromarray(pixels).resize((EDGE, EDGE), Image.Resampling.BOX).tobytes()


def likeness_of(one: bytes, other: bytes) -> float:
    """Return how much two small copies are alike: 1 for the same, ALIKE where their correlation is just enough.

    Pictures of hardly more than one colour are alike if that colour is the same.
    """
    pixels = _unpacked([one, other])  # [2, pixels, channels]
    if (pixels.std(axis=1).mean(axis=1) < _FLAT).any():
        return 1 - (1 - ALIKE) * float(np.abs(pixels[0] - pixels[1]).max()) / _SAME_COLOUR
    centred = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    correlation = float((centred[0] * centred[1]).sum() / np.sqrt((centred**2).sum(axis=(1, 2)).prod()))
    return 1 - (1 - ALIKE) * (1 - correlation) / (1 - _CORRELATED)


def _unpacked(packed: Sequence[bytes]) -> NDArray[np.float32]:
    return np.stack([np.frombuffer(one, np.uint8).reshape(-1, 3) for one in packed]).astype(np.float32)
