"""Colours converted using ICC profiles, compared with the mathematics of the colour spaces."""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageCms

from pixsearch.colours import to_srgb
from pixsearch.pictures import open_picture


def profile(name: Literal["sRGB", "LAB"]) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def linear_rgb_profile() -> bytes:
    """Return a profile with sRGB's primaries and a linear tone curve, whose results are easy to work out by hand."""

    def s15(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + b"".join(map(s15, values))

    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    # sRGB's primaries and white point, adapted to D50 (ICC's sRGB profile).
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 7) + b"linear\0" + bytes(78),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.43607, 0.22249, 0.01392),
        b"gXYZ": xyz(0.38515, 0.71687, 0.09708),
        b"bXYZ": xyz(0.14307, 0.06061, 0.71410),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", offset + len(data), len(content))
        data += content
    header = struct.pack(">I4sI4s4s4s", offset + len(data), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + s15(0.9642) + s15(1.0) + s15(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


@pytest.mark.parametrize("value", [0, 10, 55, 128, 200, 255])
def test_linear_light_gets_the_tone_curve_of_srgb(value: int) -> None:
    light = value / 255
    expected = 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1

    shown = to_srgb(Image.new("RGB", (4, 4), (value, value, value)), linear_rgb_profile())

    assert np.asarray(shown)[0, 0] == pytest.approx(expected, abs=2)


def test_a_photo_is_decoded_by_its_profile() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (55, 55, 55)).save(buffer, "PNG", icc_profile=linear_rgb_profile())

    assert open_picture(buffer.getvalue()).getpixel((0, 0)) == pytest.approx(
        (128, 128, 128), abs=3
    )  # 55 / 255 = 0.2157


@pytest.mark.parametrize("bad", [b"", b"rubbish", profile("sRGB")[:200], profile("LAB"), profile("sRGB")])
def test_a_profile_that_is_damaged_or_of_other_pixels_or_srgb_changes_nothing(bad: bytes) -> None:
    picture = Image.new("RGB", (4, 4), (10, 100, 200))

    assert to_srgb(picture, bad).getpixel((0, 0)) == (10, 100, 200)
