"""Texts as the network reads them alone, and the score that late interaction gives each of them with a picture.

The network's forwards find each word in each picture; what is left is a weighted sum. No large product of matrices is
left to numpy: the threads of its BLAS wait busily for a while after one, on the cores that the next forward needs.
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


def late_scores(texts: Sequence[ReadText], embeddings: Floats, cosines: Floats) -> Floats:
    """Return `PixelBertForRetrieval.late_score` of every text with every picture, [texts, pictures].

    Args:
        embeddings: unit vectors of the pictures [pictures, embedding size].
        cosines: of every word of the texts, one after the other, and the pixel nearest to it [pictures, words].
    """
    similarities = np.stack([text.embedding for text in texts]) @ embeddings.T
    weights = np.concatenate([text.weights for text in texts])
    starts = np.cumsum([0, *(len(text.weights) for text in texts[:-1])])
    found = np.add.reduceat(weights[:, None] * cosines.T, starts, axis=0)
    offsets = np.array([text.offset for text in texts], np.float32)
    scores: Floats = similarities + found + offsets[:, None]
    return scores
