from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixsearch.errors import PictureError
from pixsearch.pictures import open_header, open_picture
from tests.photos import noise_bytes, picture_bytes, png_header

# How a camera held in each of the eight orientations stores an upright picture (EXIF 2.32, 4.6.4, tag 274).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


def saved(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def pixel(picture: Image.Image) -> tuple[int, ...]:
    value = picture.getpixel((0, 0))
    assert isinstance(value, tuple)
    return value


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("turn", STORED)
def test_a_photo_is_upright_however_the_camera_was_held(turn: int) -> None:
    upright: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    stored = Image.fromarray(np.ascontiguousarray(STORED[turn](upright)))

    picture = open_picture(saved(stored, "PNG", exif=orientation(turn)))

    assert np.array_equal(np.asarray(picture), upright)


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "WEBP", "JPEG", "PNG", "TIFF"])
def test_a_sideways_photo_is_turned_once_in_every_format(format: str) -> None:
    pillow_heif.register_heif_opener()  # needed for saving
    sideways = Image.new("RGB", (64, 32), "red")
    sideways.paste("blue", (32, 0, 64, 32))

    picture = open_picture(saved(sideways, format, exif=orientation(6).tobytes()))

    assert picture.size == (32, 64)
    top, bottom = picture.getpixel((16, 8)), picture.getpixel((16, 56))
    assert top == pytest.approx((255, 0, 0), abs=12)
    assert bottom == pytest.approx((0, 0, 255), abs=12)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_clipped(format: str) -> None:
    grey = Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16))

    assert pixel(open_picture(saved(grey, format))) == (156, 156, 156)  # 40000 / 65535 x 255 = 155.6


def test_float_pixels_from_0_to_1_are_scaled_to_the_full_range() -> None:
    grey = Image.fromarray(np.full((4, 4), 0.6, dtype=np.float32))

    assert pixel(open_picture(saved(grey, "TIFF"))) == (153, 153, 153)  # 0.6 x 255


def test_float_pixels_of_any_other_range_go_from_their_darkest_to_their_brightest() -> None:
    values = np.array([[-100.0, 300.0, 100.0, np.nan]], dtype=np.float32)

    picture = open_picture(saved(Image.fromarray(values), "TIFF"))

    assert np.asarray(picture)[0, :3, 0].tolist() == [0, 255, 128]  # 200 / 400 x 255 = 127.5


def palette_with_a_transparent_colour() -> Image.Image:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([255, 0, 0, 0, 0, 0])
    picture.info["transparency"] = 1
    return picture


@pytest.mark.parametrize(
    "picture",
    [Image.new("RGBA", (4, 4), (0, 0, 0, 0)), Image.new("LA", (4, 4), (0, 0)), palette_with_a_transparent_colour()],
    ids=lambda picture: picture.mode,
)
def test_what_is_transparent_shows_white_and_not_the_colour_hidden_below(picture: Image.Image) -> None:
    assert pixel(open_picture(saved(picture, "PNG"))) == (255, 255, 255)


def test_half_transparent_red_is_pink() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 128))

    assert pixel(open_picture(saved(picture, "PNG"))) == (255, 127, 127)


def test_cmyk_becomes_rgb() -> None:
    yellow = Image.new("CMYK", (8, 8), (0, 0, 255, 0))

    assert pixel(open_picture(saved(yellow, "TIFF"))) == (255, 255, 0)
    assert pixel(open_picture(saved(yellow, "JPEG"))) == pytest.approx((255, 255, 0), abs=6)


@pytest.mark.parametrize("format", ["GIF", "WEBP"])
def test_an_animation_is_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]

    picture = open_picture(saved(frames[0], format, save_all=True, append_images=frames[1:]))

    assert pixel(picture) == pytest.approx((255, 0, 0), abs=6)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "HEIF", "AVIF", "PPM"])
def test_a_file_cut_anywhere_is_refused_and_never_filled_with_grey(format: str) -> None:
    pillow_heif.register_heif_opener()  # needed for saving
    whole = noise_bytes(format)

    for tenths in range(10):
        with pytest.raises(PictureError):
            open_picture(whole[: len(whole) * tenths // 10])


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "empty"), (b"dear diary", "not a picture"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture")],
)
def test_what_is_no_photo_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=reason):
        open_picture(data)


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(picture_bytes("lime", "PNG"))

    assert pixel(open_picture(path)) == (0, 255, 0)


def test_a_pipe_is_refused_at_once_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.jpg")

    with pytest.raises(PictureError, match="not a regular file"):
        open_picture(tmp_path / "photo.jpg")


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="not a regular file"):
        open_picture(tmp_path)
    with pytest.raises(PictureError, match="No such file"):
        open_picture(tmp_path / "photo.jpg")


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    for width, height in ((20_000, 20_000), (65_000, 65_000)):
        with pytest.raises(PictureError, match="megapixels"):
            open_header(png_header(width, height))


def test_the_200_megapixels_of_a_phone_are_no_bomb() -> None:
    assert open_header(png_header(16_320, 12_240)).size == (16_320, 12_240)


def test_damaged_exif_does_not_lose_the_picture() -> None:
    for exif in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0rubbish", orientation(99).tobytes()):
        data = saved(Image.new("RGB", (16, 8), "red"), "JPEG", exif=exif)

        assert open_picture(data).size == (16, 8)


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1600, 1200), (1000, 4000), (300, 300), (70, 2000)])
def test_a_picture_is_never_scaled_below_the_edge_that_was_asked_for(format: str, size: tuple[int, int]) -> None:
    picture = open_picture(picture_bytes("red", format, size), min_edge=288)

    assert min(picture.size) >= min(288, *size)
    assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.01)


def test_a_large_jpeg_is_decoded_smaller_where_that_is_enough() -> None:
    picture = open_picture(picture_bytes("red", "JPEG", (1600, 1200)), min_edge=288)

    assert picture.size == (400, 300)
