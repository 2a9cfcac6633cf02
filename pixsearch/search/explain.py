"""Explain a hit: show where in the photo late interaction finds each word of the query.

Pixel-BERT (section 4.6) shows attention maps instead. In this model, attention maps locate objects no better than
always guessing the middle of the photo (docs/experiments.md).
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
"""The number of map cells along the edge of a grid cell. It is high enough to make lit regions look round."""
_SMOOTHING = 0.85
"""The standard deviation of the Gaussian in grid cells. Without smoothing, the best cell is often beside the object."""
_DARK, _LIT = 0.80, 0.92
"""The quantiles below which a map is dark and above which it is fully lit."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The locations in a picture that match each word, and the match of the whole text."""

    words: tuple[str, ...]
    """The words that can be visible in a picture, without articles, prepositions and the like."""
    maps: Floats
    """The smoothed cosine similarity of each word and each location [words, 4 x grid rows, 4 x grid columns]."""
    match: float
    """The ITM logit of the full text and the picture."""
    probability: float | None
    """The probability that a person would say that the words describe the picture; None if the model is not
    calibrated."""

    @property
    def regions(self) -> Floats:
        """The brightness of each cell of the maps, from 0 to 1.

        The fifth of the picture that best matches the word is lit, with a soft edge.
        """
        return np.reshape([_light(one) for one in self.maps], self.maps.shape).astype(np.float32)

    def strongest(self) -> list[tuple[str, float, str]]:
        """Return each word with the maximum of its map and the location of the maximum, e.g. "top left"."""
        rows, columns = self.maps.shape[1:]
        found = []
        for word, cosines in zip(self.words, self.maps, strict=True):
            row, column = divmod(int(cosines.argmax()), columns)
            down, across = _ROWS_IN_WORDS[_third(row, rows)], _COLUMNS_IN_WORDS[_third(column, columns)]
            found.append((word, float(cosines.max()), " ".join(dict.fromkeys([down, across]))))
        return found


def explain_picture(runtime: Runtime, words: str, picture: Image.Image) -> Explanation:
    """Explain where words match an RGB picture, which need not be in a library. Raises WordsNotLocated."""
    embeddings, grids = runtime.encode_pictures([picture])
    return explain_grid(runtime, words, grids[0], embeddings, picture.width, picture.height)


def explain_grid(runtime: Runtime, words: str, grid: bytes, embeddings: Floats, width: int, height: int) -> Explanation:
    """Explain where words match a picture in a library. Raises WordsNotLocated.

    Args:
        grid: the packed pixel grid of the picture.
        embeddings: the embedding of the picture [1, size].
        width: the width of the picture in pixels.
        height: the height of the picture in pixels.
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
    """Smooth maps [words, rows, columns] with a Gaussian and enlarge them to [words, 4 x rows, 4 x columns].

    Args:
        offset: the offset, right and down, from the centre of a grid cell to its most sensitive point, in cells.
    """
    down, across = (_gaussian(cells, offset) for cells in cosines.shape[1:])
    maps: Floats = (down @ cosines @ across.T).astype(np.float32)
    return maps


def _gaussian(cells: int, offset: float) -> Floats:
    """Return the weight of each grid cell at each point of the enlarged map [4 x cells, cells]. Rows sum to 1."""
    points = (np.arange(_FINER * cells) + 0.5) / _FINER
    distances = points[:, None] - (np.arange(cells) + 0.5 + offset)
    bell = np.exp(-(distances**2) / (2 * _SMOOTHING**2))
    weights: Floats = bell / bell.sum(1, keepdims=True)
    return weights


def _light(cosines: Floats) -> Floats:
    """Return the brightness of each cell of a map, from 0 to 1, or 0 everywhere if all cells are equal."""
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
    """Draw the picture with its match, followed by a copy for each word with the matching region lit, in rows of four.

    Args:
        explanation: the explanation to draw.
        picture: the RGB picture that the model read.
        edge: the length of the longer edge of each panel in pixels.
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
    """Return the index, from 0 to 2, of the third that contains the centre of a cell."""
    return 3 * (2 * index + 1) // (2 * count)


def _title(explanation: Explanation) -> str:
    if explanation.probability is not None:
        return f"match {percent(explanation.probability)}"
    return f"match {explanation.match:.2f}"
