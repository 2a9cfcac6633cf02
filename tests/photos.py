"""Small picture files for tests."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

Colour = str | tuple[int, int, int]


def picture_bytes(colour: Colour = "red", format: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    """Return a picture file in one colour. A different colour gives different bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format)
    return buffer.getvalue()


def make_photo(path: Path, colour: Colour = "red", size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture_bytes(colour, size=size))
    return path


def photo_taken_at(path: Path, latitude: float, longitude: float, colour: Colour = "red") -> Path:
    """Make a JPEG with Exif coordinates, to a thousandth of an arc second."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N" if latitude >= 0 else "S",
            ExifTags.GPS.GPSLatitude: (0.0, 0.0, round(abs(latitude) * 3600, 3)),
            ExifTags.GPS.GPSLongitudeRef: "E" if longitude >= 0 else "W",
            ExifTags.GPS.GPSLongitude: (0.0, 0.0, round(abs(longitude) * 3600, 3)),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, exif=exif)
    return path


def noise_bytes(format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a picture that barely compresses, so that truncating its file truncates the picture."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, format)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG file that claims this size but contains almost no data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def make_distinct_photos(folder: Path, count: int = 6) -> Path:
    """Make a folder of 0.png, 1.png and so on, whose random blotches look nothing like each other."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(noise.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        coarse.resize((60, 45), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder
