"""Pictures of signs with legible text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

NO_LITTER = ("NO LITTER", "Please take your", "rubbish home")


def sign(
    lines: Sequence[str] = NO_LITTER, size: int = 40, turned: int = 0, edges: tuple[int, int] = (800, 600)
) -> Image.Image:
    """Draw a white sign on a green background, with letters of `size` pixels, rotated left by `turned` degrees."""
    font = ImageFont.load_default(size)
    width, height = max(int(font.getlength(line)) for line in lines) + 2 * size, int(1.4 * size * len(lines)) + size
    board = Image.new("RGBA", (width, height), "white")
    draw = ImageDraw.Draw(board)
    for number, line in enumerate(lines):
        draw.text((size, size // 2 + int(1.4 * size * number)), line, font=font, fill="black")
    board = board.rotate(turned, expand=True, resample=Image.Resampling.BICUBIC)
    picture = Image.new("RGB", edges, "darkgreen")
    picture.paste(board, ((edges[0] - board.width) // 2, (edges[1] - board.height) // 2), board)
    return picture


def make_sign(path: Path, lines: Sequence[str] = NO_LITTER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sign(lines).save(path)
    return path
