"""Small picture files for tests."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

Colour = str | tuple[int, int, int]


def picture_bytes(colour: Colour = "red", format: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    """A picture file in one colour; another colour makes another content."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format)
    return buffer.getvalue()


def make_photo(path: Path, colour: Colour = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture_bytes(colour))
    return path


def noise_bytes(format: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture that does not compress to almost nothing, so that cutting its file cuts the picture."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, format)
    return buffer.getvalue()
