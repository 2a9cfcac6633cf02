"""Texts as the network reads them alone, and the score that late interaction gives each of them with a picture.

The vectors come from the network's forwards; what is left is a product of matrices and a maximum, which numpy does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text that was read once, for all stages of a search."""

    ids: NDArray[np.int64]
    """Its tokens [words]; [CLS] and [SEP] count as words."""
    embedding: Floats
    """Unit vector [embedding size]."""
    vectors: Floats
    """Unit vectors of the words [words, embedding size]."""
    weights: Floats
    """What the cosine of each word and its nearest pixel adds to a late score [words]."""
    offset: float
    """What every late score of the text has."""


def late_scores(texts: Sequence[ReadText], embeddings: Floats, pixels: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Return `PixelBertForRetrieval.late_score` of every text with every picture, [texts, pictures].

    Args:
        embeddings: unit vectors of the pictures [pictures, embedding size].
        pixels, mask: unit vectors of their pixels [pictures, pixels, embedding size], True where a pixel stands
            [pictures, pixels].
    """
    similarities = np.stack([text.embedding for text in texts]) @ embeddings.T
    vectors = np.concatenate([text.vectors for text in texts])
    weights = np.concatenate([text.weights for text in texts])
    cosines = (vectors @ pixels.reshape(-1, pixels.shape[-1]).T).reshape(-1, *mask.shape)  # [words, pictures, pixels]
    if not mask.all():
        cosines[:, ~mask] = -np.inf
    starts = np.cumsum([0, *(len(text.weights) for text in texts[:-1])])
    found = np.add.reduceat(weights[:, None] * cosines.max(2), starts, axis=0)
    offsets = np.array([text.offset for text in texts], np.float32)
    scores: Floats = similarities + found + offsets[:, None]
    return scores
