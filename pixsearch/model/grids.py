"""Pixel grids as bytes: what the index keeps of a picture for the re-rank.

A grid comes out of a ReLU, so it is never negative: one byte a value, 0 for 0 and 255 for the grid's largest. The bytes
are the scale (float32, little-endian), then pixels x channels values, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pack_grid(grid: NDArray[np.float32]) -> bytes:
    """Grid [pixels, channels] -> bytes; a value is off by at most 1/510 of the grid's largest."""
    scale = np.float32(max(float(grid.max()), 1e-6) / 255)
    values = np.rint(np.clip(grid, 0, None) / scale).astype(np.uint8)
    packed: bytes = scale.astype("<f4").tobytes() + values.tobytes()
    return packed


def unpack_grids(packed: Sequence[bytes], channels: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bytes of grids -> [grids, most pixels, channels], zeros behind, and its mask [grids, most pixels]."""
    counts = np.array([(len(grid) - 4) // channels for grid in packed])
    grids = np.zeros((len(packed), counts.max(), channels), np.float32)
    for row, (grid, count) in enumerate(zip(packed, counts, strict=True)):
        values = np.frombuffer(grid, np.uint8, offset=4).reshape(count, channels)
        np.multiply(values, np.frombuffer(grid, "<f4", count=1)[0], out=grids[row, :count])
    return grids, np.arange(grids.shape[1]) < counts[:, None]
