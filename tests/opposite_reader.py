"""A re-rank model whose results can be worked out by hand. It prefers what a `ColourRuntime` does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pixsearch.errors import PictureError
from pixsearch.search.runtime import Floats
from tests.colour_runtime import COLOURS


class OppositeReader:
    """The logit is 10 x (1 - the brightness of the text's colour in the picture). Green pictures raise an error."""

    name = "opposite"
    min_edge = 8

    def __init__(self) -> None:
        self.read: list[tuple[tuple[str, ...], tuple[int, ...]]] = []
        """The texts and the picture's colour in each call."""

    def logits(self, texts: Sequence[str], picture: Image.Image) -> Floats:
        mean = np.asarray(picture).mean(axis=(0, 1)) / 255
        self.read.append((tuple(texts), tuple((mean * 255).round().astype(int).tolist())))
        if mean.argmax() == 1 and mean.max() > mean.min():
            raise PictureError("green cannot be read")
        colours = [COLOURS[next(word for word in text.split() if word in COLOURS)] for text in texts]
        return np.array([10 * (1 - mean @ colour) for colour in colours], np.float32)
