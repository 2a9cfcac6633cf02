"""Why a photo is a hit: for each word of the query, where in the photo the Transformer looks for it.

Pixel-BERT (section 4.6) shows its attention maps the same way: words find their regions without ever having seen a box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixsearch.search.cascade import read_every_pair
from pixsearch.search.hits import percent
from pixsearch.search.runtime import Floats, Runtime

_PLACES = ("top", "middle", "bottom")
_PLACES_ACROSS = ("left", "middle", "right")
_LINE_HEIGHT = 22
_GAP = 8


@dataclass(frozen=True, slots=True)
class Explanation:
    """Words and a picture, as the joint stream reads them together."""

    words: tuple[str, ...]
    attention: Floats
    """How much each word looks at each cell of the picture's grid, [words, rows, columns]."""
    match: float
    """ITM logit of all words and the picture."""
    probability: float | None
    """That a person would say that the picture shows what the words say; None where the model has no calibration."""

    def strongest(self) -> list[tuple[str, float, str]]:
        """Each word with the share of its attention that falls on the picture, and where most of that is."""
        rows, columns = self.attention.shape[1:]
        found = []
        for word, attention in zip(self.words, self.attention, strict=True):
            row, column = divmod(int(attention.argmax()), columns)
            down, across = _PLACES[_third(row, rows)], _PLACES_ACROSS[_third(column, columns)]
            found.append((word, float(attention.sum()), " ".join(dict.fromkeys([down, across]))))
        return found


def explain_picture(runtime: Runtime, words: str, picture: Image.Image) -> Explanation:
    """Explain words and an RGB picture that need not be in any library."""
    embeddings, grids = runtime.encode_pictures([picture])
    return explain_grid(runtime, words, grids[0], embeddings, picture.width, picture.height)


def explain_grid(runtime: Runtime, words: str, grid: bytes, embeddings: Floats, width: int, height: int) -> Explanation:
    """Explain words and a picture of that size by its grid and its embedding [1, size], as a library has them."""
    found, attention = runtime.attention(words, grid, width, height)
    _, logits = read_every_pair(runtime, runtime.read_texts([words]), [grid], embeddings)
    probabilities = runtime.probability(logits, "joint")
    return Explanation(
        tuple(found), attention, float(logits[0]), None if probabilities is None else float(probabilities[0])
    )


def heat(picture: Image.Image, attention: Floats) -> Image.Image:
    """An RGB picture, bright where the attention [rows, columns] is high and dark where it is low."""
    spread = max(float(np.ptp(attention)), 1e-9)
    levels = Image.fromarray(((attention - attention.min()) / spread * 255).astype(np.uint8))
    mask = levels.resize(picture.size, Image.Resampling.BICUBIC).point(lambda level: 50 + level * 205 // 255)
    return Image.composite(picture, Image.new("RGB", picture.size), mask)


def draw(explanation: Explanation, picture: Image.Image, edge: int = 240) -> Image.Image:
    """The picture with the match below, then one for each word with its attention on it, in rows of four.

    Args:
        picture: RGB, as it was read.
        edge: the longer edge of each in pixels.
    """
    small = picture.copy()
    small.thumbnail((edge, edge))
    titles = [_title(explanation), *explanation.words]
    panels = [small, *(heat(small, attention) for attention in explanation.attention)]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    width, height = small.width + _GAP, small.height + _LINE_HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for place, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        left, top = _GAP + place % columns * width, _GAP + place // columns * height
        sheet.paste(panel, (left, top))
        pen.text((left, top + small.height + 3), title, fill="black", font=font)
    return sheet


def _third(place: int, places: int) -> int:
    """Into which third the middle of a place falls."""
    return 3 * (2 * place + 1) // (2 * places)


def _title(explanation: Explanation) -> str:
    if explanation.probability is not None:
        return f"match {percent(explanation.probability)}"
    return f"match {explanation.match:.2f}"
