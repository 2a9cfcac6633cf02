"""Why a photo is a hit: for each word of the query, where in the photo late interaction finds it.

Pixel-BERT (section 4.6) shows attention maps instead. Those of this model point at the thing no more often than the
middle of the photo does (docs/experiments.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixsearch.search.cascade import read_every_pair
from pixsearch.search.hits import percent
from pixsearch.search.runtime import Floats, Runtime
from pixsearch.search.wording import STOP_WORDS

_PLACES = ("top", "middle", "bottom")
_PLACES_ACROSS = ("left", "middle", "right")
_LINE_HEIGHT = 22
_GAP = 8
_FINER = 4
"""How many cells of a map lie along the edge of one of the grid: enough for a round edge of the light."""
_SMOOTHING = 0.85
"""Standard deviation in cells of the grid: a single cell is often one beside the thing."""
_DARK, _LIT = 0.80, 0.92
"""The shares of a photo below and above which a map is dark and fully lit."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Words and a picture, as the model compares them."""

    words: tuple[str, ...]
    """Those that can be seen: articles, prepositions and the like are left out."""
    maps: Floats
    """The cosine of each word with the picture, smoothed [words, 4 x rows of the grid, 4 x columns]."""
    match: float
    """ITM logit of all words and the picture."""
    probability: float | None
    """That a person would say that the picture shows what the words say; None where the model has no calibration."""

    @property
    def regions(self) -> Floats:
        """How brightly each cell of the maps is lit, from 0 to 1: the fifth of the picture that shows the word best,
        with a soft edge."""
        return np.reshape([_light(one) for one in self.maps], self.maps.shape).astype(np.float32)

    def strongest(self) -> list[tuple[str, float, str]]:
        """Each word with the largest cosine of its map, and where that is."""
        rows, columns = self.maps.shape[1:]
        found = []
        for word, cosines in zip(self.words, self.maps, strict=True):
            row, column = divmod(int(cosines.argmax()), columns)
            down, across = _PLACES[_third(row, rows)], _PLACES_ACROSS[_third(column, columns)]
            found.append((word, float(cosines.max()), " ".join(dict.fromkeys([down, across]))))
        return found


def explain_picture(runtime: Runtime, words: str, picture: Image.Image) -> Explanation:
    """Explain words and an RGB picture that need not be in any library. Raises WordsNotLocated."""
    embeddings, grids = runtime.encode_pictures([picture])
    return explain_grid(runtime, words, grids[0], embeddings, picture.width, picture.height)


def explain_grid(runtime: Runtime, words: str, grid: bytes, embeddings: Floats, width: int, height: int) -> Explanation:
    """Explain words and a picture of that size by its grid and its embedding [1, size], as a library has them.

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
        offset: how far right of and below its middle a cell sees most, in cells.
    """
    down, across = (_gaussian(cells, offset) for cells in cosines.shape[1:])
    maps: Floats = (down @ cosines @ across.T).astype(np.float32)
    return maps


def _gaussian(cells: int, offset: float) -> Floats:
    """Return how much each cell of a grid counts at each point of a finer one, [4 x cells, cells]; rows sum to 1."""
    points = (np.arange(_FINER * cells) + 0.5) / _FINER
    distances = points[:, None] - (np.arange(cells) + 0.5 + offset)
    bell = np.exp(-(distances**2) / (2 * _SMOOTHING**2))
    weights: Floats = bell / bell.sum(1, keepdims=True)
    return weights


def _light(cosines: Floats) -> Floats:
    """Return how brightly each cell of a map is lit; nothing is where all cells are alike."""
    dark, lit = np.quantile(cosines, [_DARK, _LIT])
    share = np.clip((cosines - dark) / max(float(lit - dark), 1e-6), 0, 1)
    light: Floats = share * share * (3 - 2 * share)
    return light


def _can_be_seen(word: str) -> bool:
    return word.lower() not in STOP_WORDS and any(letter.isalnum() for letter in word)


def heat(picture: Image.Image, region: Floats) -> Image.Image:
    """An RGB picture, bright where the region [rows, columns] is lit and dark elsewhere."""
    levels = Image.fromarray((region * 255).astype(np.uint8))
    mask = levels.resize(picture.size, Image.Resampling.BICUBIC).point(lambda level: 50 + level * 205 // 255)
    return Image.composite(picture, Image.new("RGB", picture.size), mask)


def draw(explanation: Explanation, picture: Image.Image, edge: int = 240) -> Image.Image:
    """The picture with the match below, then one for each word with its region lit, in rows of four.

    Args:
        picture: RGB, as it was read.
        edge: the longer edge of each in pixels.
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
    """Into which third the middle of a cell falls."""
    return 3 * (2 * index + 1) // (2 * count)


def _title(explanation: Explanation) -> str:
    if explanation.probability is not None:
        return f"match {percent(explanation.probability)}"
    return f"match {explanation.match:.2f}"
