"""Encoded texts and their late interaction scores with pictures.

The network's forward passes find each word in each picture, and numpy only computes a weighted sum. Large matrix
products in numpy are avoided, because its BLAS threads would keep spinning on cores that the next forward pass needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text that is encoded once for all stages of a search."""

    ids: NDArray[np.int64]
    """The token ids [words], where [CLS] and [SEP] count as words."""
    embedding: Floats
    """The unit vector of the whole text [embedding size]."""
    vectors: Floats
    """The unit vectors of the words [words, embedding size]."""
    weights: Floats
    """The factors for the cosines of the words with their nearest pixels in a late score [words]."""
    offset: float
    """The constant added to every late score of the text."""


def late_scores(texts: Sequence[ReadText], embeddings: Floats, cosines: Floats) -> Floats:
    """Return the late scores of every text with every picture [texts, pictures].

    They equal those of `PixelBertForRetrieval.late_score`.

    Args:
        texts: the encoded texts.
        embeddings: the unit vectors of the pictures [pictures, embedding size].
        cosines: the cosines of words with their nearest pixels [pictures, words], with all texts concatenated.
    """
    similarities = np.stack([text.embedding for text in texts]) @ embeddings.T
    weights = np.concatenate([text.weights for text in texts])
    starts = np.cumsum([0, *(len(text.weights) for text in texts[:-1])])
    found = np.add.reduceat(weights[:, None] * cosines.T, starts, axis=0)
    offsets = np.array([text.offset for text in texts], np.float32)
    scores: Floats = similarities + found + offsets[:, None]
    return scores
