"""Pixel grids packed into bytes, as the index stores them for re-ranking.

A grid is the output of a ReLU, so no value is negative and most are 0. Each value is scaled and rounded to a byte (255
for the largest value in the grid), and only non-zero bytes are stored. The format consists of:

- the scale (float32, little-endian),
- the number of values, which is pixels x channels (uint32, little-endian),
- one bit per value, pixel by pixel, which is 1 if the value is not 0,
- the non-zero bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FORMAT = 2
"""The version of the format. Increase it whenever the packing changes."""

_HEAD_BYTES = 8


def pack_grid(grid: NDArray[np.float32]) -> bytes:
    """Pack a grid [pixels, channels] into bytes. Values are off by at most 1/510 of the largest value."""
    scale = np.float32(max(float(grid.max()), 1e-6) / 255)
    values = np.rint(np.clip(grid, 0, None) / scale).astype(np.uint8).ravel()
    kept = values != 0
    head = scale.astype("<f4").tobytes() + np.uint32(values.size).astype("<u4").tobytes()
    # Select by index, because selecting by mask takes numpy twice as long.
    packed: bytes = head + np.packbits(kept).tobytes() + values[np.flatnonzero(kept)].tobytes()
    return packed


def unpack_grids(packed: Sequence[bytes], channels: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return unpacked grids [grids, most pixels, channels], padded with zeros, and their mask [grids, most pixels]."""
    sizes = np.array([int.from_bytes(grid[4:_HEAD_BYTES], "little") for grid in packed])
    counts = sizes // channels
    grids = np.zeros((len(packed), counts.max(), channels), np.float32)
    for row, grid, size in zip(grids, packed, sizes, strict=True):
        bits = -(-size // 8)
        kept = np.unpackbits(np.frombuffer(grid, np.uint8, bits, _HEAD_BYTES), count=size).view(np.bool_)
        values = np.frombuffer(grid, np.uint8, offset=_HEAD_BYTES + bits)
        # Assign by index, because assigning by mask takes numpy twice as long.
        row.reshape(-1)[np.flatnonzero(kept)] = values * np.frombuffer(grid, "<f4", count=1)[0]
    return grids, np.arange(grids.shape[1]) < counts[:, None]
