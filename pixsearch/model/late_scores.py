"""Encoded texts, and their late interaction scores with pictures.

The network's forwards find each word in each picture; numpy only computes a weighted sum. It computes no large matrix
products, since the threads of its BLAS would spin afterwards on the cores that the next forward needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReadText:
    """A text, encoded once for all stages of a search."""

    ids: NDArray[np.int64]
    """The ids of the tokens [words]; [CLS] and [SEP] count as words."""
    embedding: Floats
    """The unit vector of the text [embedding size]."""
    vectors: Floats
    """The unit vectors of the words [words, embedding size]."""
    weights: Floats
    """The weight of each word's cosine with its nearest pixel in a late score [words]."""
    offset: float
    """The constant part of every late score of the text."""


def late_scores(texts: Sequence[ReadText], embeddings: Floats, cosines: Floats) -> Floats:
    """Return `PixelBertForRetrieval.late_score` of every text with every picture [texts, pictures].

    Args:
        embeddings: unit vectors of the pictures [pictures, embedding size].
        cosines: the cosine of each word of all texts, concatenated, with its nearest pixel [pictures, words].
    """
    similarities = np.stack([text.embedding for text in texts]) @ embeddings.T
    weights = np.concatenate([text.weights for text in texts])
    starts = np.cumsum([0, *(len(text.weights) for text in texts[:-1])])
    found = np.add.reduceat(weights[:, None] * cosines.T, starts, axis=0)
    offsets = np.array([text.offset for text in texts], np.float32)
    scores: Floats = similarities + found + offsets[:, None]
    return scores
