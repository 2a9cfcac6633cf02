"""Late scores, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pixsearch.model.late_scores import ReadText, late_scores

EMBEDDINGS = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
"""The embeddings of two pictures."""


def read(embedding: list[float], words: list[list[float]], weights: list[float], offset: float) -> ReadText:
    ids = np.zeros(len(words), np.int64)
    return ReadText(ids, np.array(embedding, np.float32), np.array(words, np.float32), np.array(weights), offset)


def test_each_word_counts_by_its_weight() -> None:
    one = read([1.0, 0.0], [[0.0, 1.0], [1.0, 0.0]], [0.5, 2.0], 0.25)
    other = read([0.0, 1.0], [[0.8, 0.6]], [1.0], 0.0)

    scores = late_scores([one, other], EMBEDDINGS, np.array([[0.8, 1.0, 0.96], [1.0, 1.0, 0.8]], np.float32))

    # Similarities 1, 0.6 and 0, 0.8.
    assert scores.tolist() == [
        pytest.approx([1.0 + 0.4 + 2.0 + 0.25, 0.6 + 0.5 + 2.0 + 0.25]),
        pytest.approx([0.0 + 0.96, 0.8 + 0.8]),
    ]


def test_without_weights_the_late_score_is_the_similarity() -> None:
    text = read([1.0, 0.0], [[0.0, 1.0]], [0.0], 0.0)

    [scores] = late_scores([text], EMBEDDINGS, np.array([[0.5], [0.5]], np.float32))

    assert scores.tolist() == pytest.approx([1.0, 0.6])
