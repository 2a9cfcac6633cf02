"""Explanations of a hit: for each word of the query, where in the photo late interaction finds it.

Pixel-BERT (section 4.6) shows attention maps instead. The attention maps of this model point at the object no more
often than the middle of the photo does (docs/experiments.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixsearch.search.cascade import read_every_pair
from pixsearch.search.hits import percent
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.search.wording import STOP_WORDS

_ROWS_IN_WORDS = ("top", "middle", "bottom")
_COLUMNS_IN_WORDS = ("left", "middle", "right")
_LINE_HEIGHT = 22
_GAP = 8
_FINER = 4
"""The number of map cells along the edge of one grid cell: enough for lit regions to look round."""
_SMOOTHING = 0.85
"""The standard deviation in grid cells: a single best cell is often next to the object."""
_DARK, _LIT = 0.80, 0.92
"""The quantiles of a map below which it is dark and above which it is fully lit."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A comparison of words with a picture by the model."""

    words: tuple[str, ...]
    """The words that can be seen in a picture, without articles, prepositions and the like."""
    maps: Floats
    """The cosine of each word with the picture, smoothed [words, 4 x rows of the grid, 4 x columns]."""
    match: float
    """The ITM logit of all words and the picture."""
    probability: float | None
    """The probability that a person would say that the words describe the picture; None for an uncalibrated model."""

    @property
    def regions(self) -> Floats:
        """The brightness of each cell of the maps, from 0 to 1: the fifth of the picture that shows the word best is
        lit, with a soft edge."""
        return np.reshape([_light(one) for one in self.maps], self.maps.shape).astype(np.float32)

    def strongest(self) -> list[tuple[str, float, str]]:
        """Return each word with the largest cosine of its map and the location of that, like "top left"."""
        rows, columns = self.maps.shape[1:]
        found = []
        for word, cosines in zip(self.words, self.maps, strict=True):
            row, column = divmod(int(cosines.argmax()), columns)
            down, across = _ROWS_IN_WORDS[_third(row, rows)], _COLUMNS_IN_WORDS[_third(column, columns)]
            found.append((word, float(cosines.max()), " ".join(dict.fromkeys([down, across]))))
        return found


def explain_picture(runtime: Runtime, words: str, picture: Image.Image) -> Explanation:
    """Explain words and an RGB picture, which need not be in a library. Raises WordsNotLocated."""
    embeddings, grids = runtime.encode_pictures([picture])
    return explain_grid(runtime, words, grids[0], embeddings, picture.width, picture.height)


def explain_grid(runtime: Runtime, words: str, grid: bytes, embeddings: Floats, width: int, height: int) -> Explanation:
    """Explain words and a picture of this size by its grid and its embedding [1, size], as stored in a library.

    Raises WordsNotLocated.
    """
    found, cosines = runtime.locate_words(words, grid, width, height)
    shown = [index for index, word in enumerate(found) if _can_be_seen(word)]
    _, logits = read_every_pair(runtime, runtime.read_texts([words]), [grid], embeddings)
    probabilities = runtime.probability(logits, "joint")
    return Explanation(
        tuple(found[index] for index in shown),
        smoothed(cosines[shown], runtime.cell_offset),
        float(logits[0]),
        None if probabilities is None else float(probabilities[0]),
    )


def smoothed(cosines: Floats, offset: float) -> Floats:
    """Smooth maps [words, rows, columns] by a Gaussian into [words, 4 x rows, 4 x columns].

    Args:
        offset: how far right of and below its centre a grid cell is most sensitive, in cells.
    """
    down, across = (_gaussian(cells, offset) for cells in cosines.shape[1:])
    maps: Floats = (down @ cosines @ across.T).astype(np.float32)
    return maps


def _gaussian(cells: int, offset: float) -> Floats:
    """Return the weight of each grid cell at each point of the finer map [4 x cells, cells]; rows sum to 1."""
    points = (np.arange(_FINER * cells) + 0.5) / _FINER
    distances = points[:, None] - (np.arange(cells) + 0.5 + offset)
    bell = np.exp(-(distances**2) / (2 * _SMOOTHING**2))
    weights: Floats = bell / bell.sum(1, keepdims=True)
    return weights


def _light(cosines: Floats) -> Floats:
    """Return the brightness of each cell of a map, from 0 to 1; 0 everywhere if all cells are alike."""
    dark, lit = np.quantile(cosines, [_DARK, _LIT])
    share = np.clip((cosines - dark) / max(float(lit - dark), 1e-6), 0, 1)
    light: Floats = share * share * (3 - 2 * share)
    return light


def _can_be_seen(word: str) -> bool:
    return word.lower() not in STOP_WORDS and any(letter.isalnum() for letter in word)


def heat(picture: Image.Image, region: Floats) -> Image.Image:
    """Return an RGB picture that is bright where the region [rows, columns] is lit and dark elsewhere."""
    levels = Image.fromarray((region * 255).astype(np.uint8))
    mask = levels.resize(picture.size, Image.Resampling.BICUBIC).point(lambda level: 50 + level * 205 // 255)
    return Image.composite(picture, Image.new("RGB", picture.size), mask)


def draw(explanation: Explanation, picture: Image.Image, edge: int = 240) -> Image.Image:
    """Draw the picture with the match below it, then a copy for each word with its region lit, in rows of four.

    Args:
        picture: the picture as it was read, RGB.
        edge: the longer edge of each panel in pixels.
    """
    small = picture.copy()
    small.thumbnail((edge, edge))
    titles = [_title(explanation), *explanation.words]
    panels = [small, *(heat(small, region) for region in explanation.regions)]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    width, height = small.width + _GAP, small.height + _LINE_HEIGHT + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        left, top = _GAP + number % columns * width, _GAP + number // columns * height
        sheet.paste(panel, (left, top))
        pen.text((left, top + small.height + 3), title, fill="black", font=font)
    return sheet


def _third(index: int, count: int) -> int:
    """Return the third, from 0 to 2, that contains the middle of a cell."""
    return 3 * (2 * index + 1) // (2 * count)


def _title(explanation: Explanation) -> str:
    if explanation.probability is not None:
        return f"match {percent(explanation.probability)}"
    return f"match {explanation.match:.2f}"
