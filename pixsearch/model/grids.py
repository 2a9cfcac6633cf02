"""Pixel grids as bytes: what the index keeps of a picture for the re-rank.

A grid comes out of a ReLU, so it is never negative and most of it is 0: one byte a value, 0 for 0 and 255 for the
grid's largest, and only of those values that are not 0. The bytes are the scale (float32), how many values there are,
pixels x channels (uint32, both little-endian), a bit for each, pixel by pixel, that says whether it is kept, and those.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FORMAT = 2
"""Another one whenever the bytes of the same grid are others."""

_HEAD_BYTES = 8


def pack_grid(grid: NDArray[np.float32]) -> bytes:
    """Grid [pixels, channels] -> bytes; a value is off by at most 1/510 of the grid's largest."""
    scale = np.float32(max(float(grid.max()), 1e-6) / 255)
    values = np.rint(np.clip(grid, 0, None) / scale).astype(np.uint8).ravel()
    kept = values != 0
    head = scale.astype("<f4").tobytes() + np.uint32(values.size).astype("<u4").tobytes()
    # By indices: by the mask itself it takes numpy twice as long.
    packed: bytes = head + np.packbits(kept).tobytes() + values[np.flatnonzero(kept)].tobytes()
    return packed


def unpack_grids(packed: Sequence[bytes], channels: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bytes of grids -> [grids, most pixels, channels], zeros behind, and its mask [grids, most pixels]."""
    sizes = np.array([int.from_bytes(grid[4:_HEAD_BYTES], "little") for grid in packed])
    counts = sizes // channels
    grids = np.zeros((len(packed), counts.max(), channels), np.float32)
    for row, grid, size in zip(grids, packed, sizes, strict=True):
        bits = -(-size // 8)
        kept = np.unpackbits(np.frombuffer(grid, np.uint8, bits, _HEAD_BYTES), count=size).view(np.bool_)
        values = np.frombuffer(grid, np.uint8, offset=_HEAD_BYTES + bits)
        # By places: by the mask itself it takes numpy twice as long.
        row.reshape(-1)[np.flatnonzero(kept)] = values * np.frombuffer(grid, "<f4", count=1)[0]
    return grids, np.arange(grids.shape[1]) < counts[:, None]
