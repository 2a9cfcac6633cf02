"""Near misses compared with true texts after subtracting a score for the wording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pixsearch.model.late_scores import ReadText
from pixsearch.search.runtime import Floats
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.evaluation.encoding import EncodedPictures
from pixsearch_trainer.evaluation.near_misses import NearMissScores, score_near_misses, with_near_misses
from tests.colour_runtime import ColourRuntime

NEAR = ("A blue bus in the snow.", "blue bus")


class Wordy(ColourRuntime):
    """A runtime that scores the word "invented" high with every picture, and red texts high with red pictures."""

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return np.stack([[float("red" in text), 5.0 * ("invented" in text)] for text in texts]).astype(np.float32)

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        nothing = np.zeros((1, 2), np.float32)
        return [
            ReadText(np.zeros(1, np.int64), embedding, nothing, nothing[:, 0], 0.0)
            for embedding in self.embed_texts(texts)
        ]

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        [text] = texts
        red, invented = text.embedding
        return np.array([red * grid[0] + invented for grid in grids], np.float32)


def test_the_true_sentence_is_the_one_that_the_near_miss_was_made_from() -> None:
    picture = CaptionedPicture(
        Path("a"), ("Snow lies there.", "A red bus in the snow."), queries=("red bus", "bus"), near_misses=NEAR
    )
    plain = CaptionedPicture(Path("b"), ("A red bus.",))

    [found] = with_near_misses([plain, picture])

    assert (found.true, found.false) == (("A red bus in the snow.", "red bus"), NEAR)


def test_a_wording_that_every_picture_likes_does_not_pay() -> None:
    """Only picture 0 is red. Its near miss has higher scores with all pictures, but loses after the subtraction."""
    pictures = [
        CaptionedPicture(Path(name), (f"{true} sentence",), queries=(true,), near_misses=("invented thing", "invented"))
        for name, true in (("0", "red"), ("1", "grey"), ("2", "grey"))
    ]
    encoded = EncodedPictures(
        pictures, np.array([[1, 1], [0, 1], [0, 1]], np.float32), [bytes([1]), bytes([0]), bytes([0])], {}
    )
    stand_in = np.array([0, 2], np.float32), bytes([0])  # twice the similarity to "invented"

    scores = score_near_misses(Wordy(), with_near_misses(pictures), encoded, stand_in, others=2)

    for name in ("similarity", "joint"):
        # red: 1 with picture 0, and 0 on average with the others. invented: 5 everywhere, so 0 after the subtraction.
        assert scores[name].true[:, 0].tolist() == [1, 1]
        assert scores[name].false[:, 0].tolist() == [0, 0]
        left = scores[f"{name}, stand-in"].true - scores[f"{name}, stand-in"].false
        assert left[:, 0].tolist() == pytest.approx([0, 0], abs=1e-5)


def test_accuracy_counts_equal_scores_by_half() -> None:
    scores = NearMissScores(
        np.array([[2, 1, 0, 3], [1, 1, 1, 1]], np.float32), np.array([[1, 1, 1, 1]] * 2, np.float32)
    )

    assert scores.accuracy == (62.5, 50)
