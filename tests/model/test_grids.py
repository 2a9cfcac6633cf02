"""Grids packed into bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pixsearch.model.grids import pack_grid, unpack_grids

CHANNELS = 5
GRIDS = arrays(np.float32, (3, CHANNELS), elements=st.floats(0, 1e4, width=32))


def test_a_packed_grid_is_a_scale_a_size_a_bit_for_each_value_and_a_byte_for_each_that_is_not_0() -> None:
    packed = pack_grid(np.array([[0.0, 255.0], [1.0, 51.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0]], dtype=np.float32))

    assert packed == struct.pack("<fI", 1.0, 10) + bytes([0b01110000, 0b10000000, 255, 1, 51, 2])


@given(GRIDS)
def test_an_unpacked_value_is_off_by_at_most_half_a_step(grid: np.ndarray) -> None:
    (back,), _ = unpack_grids([pack_grid(grid)], CHANNELS)

    assert np.abs(back - grid).max() <= max(grid.max(), 1e-6) / 510 * 1.001


@given(st.lists(GRIDS, min_size=1, max_size=4))
def test_grids_are_unpacked_in_order(grids: list[np.ndarray]) -> None:
    together, _ = unpack_grids([pack_grid(grid) for grid in grids], CHANNELS)

    for back, grid in zip(together, grids, strict=True):
        assert np.array_equal(back, unpack_grids([pack_grid(grid)], CHANNELS)[0][0])


def test_a_black_grid_packs_without_division_by_zero() -> None:
    assert unpack_grids([pack_grid(np.zeros((2, CHANNELS), np.float32))], CHANNELS)[0] == pytest.approx(0)


def test_a_grid_of_fewer_pixels_is_padded_at_the_end_and_masked() -> None:
    small, large = np.ones((1, CHANNELS), np.float32), np.full((3, CHANNELS), 2, np.float32)

    grids, mask = unpack_grids([pack_grid(small), pack_grid(large)], CHANNELS)

    assert grids.shape == (2, 3, CHANNELS)
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert grids[0, 0] == pytest.approx(1)
    assert not grids[0, 1:].any()
