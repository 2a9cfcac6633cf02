"""A model whose results can be worked out by hand, used in place of a trained one. It sees only the mean colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixsearch.model.config import InputShape, Stage
from pixsearch.model.late_scores import ReadText

Floats = NDArray[np.float32]

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class ColourRuntime:
    """A runtime whose scores are computed from a picture's mean colour.

    The embedding is the mean colour, L2-normalised, so brightness does not count. The late score is the similarity.
    The match score is 10 x the brightness in the text's colours minus 5, so only brightness counts. A text is the sum
    of the colours it names. The probability is the sigmoid of the match score, or of 10 x the late score minus 5.
    """

    name = "colours"
    reads_pairs = True
    embedding_size = 3
    input_shape = InputShape(8, 8, "squash")

    def __init__(
        self,
        fingerprint: str = "c0" * 32,
        default_order: Literal["match", "similarity"] = "match",
        calibrated: bool = False,
        unknown: tuple[str, ...] = (),
        words_taught: Mapping[str, int] | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.default_order = default_order
        self.calibrated = calibrated
        self.unknown = unknown
        self.words_taught = words_taught
        self.prepared_for_pictures = False
        self.pictures_encoded = 0
        self.pairs_ordered = 0
        self.pairs_matched = 0

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        return self.encode_pixels([np.asarray(picture) for picture in pictures])

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        self.pictures_encoded += len(pixels)
        means = np.stack([picture.mean(axis=(0, 1), dtype=np.float32) / 255 for picture in pixels])
        return _normalised(means), [mean.tobytes() for mean in means]

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Do nothing: there is nothing to load."""

    def prepare_for_pictures(self) -> None:
        self.prepared_for_pictures = True

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        return _normalised(np.stack([_colour(text) for text in texts]))

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Treat each text as a single word, its colour."""
        colours = [_colour(text)[np.newaxis] for text in texts]
        return [
            ReadText(np.zeros(1, np.int64), embedding, colour, np.ones(1, np.float32), 0.0)
            for embedding, colour in zip(self.embed_texts(texts), colours, strict=True)
        ]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        assert len(grids) == len(embeddings)
        self.pairs_ordered += len(texts) * len(grids)
        return np.asarray(np.stack([text.embedding for text in texts]) @ embeddings.T, np.float32)

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        self.pairs_matched += len(late_scores)
        means = np.stack([np.frombuffer(grid, dtype=np.float32) for grid in grids])
        colours = np.concatenate([text.vectors for text in texts])
        return np.asarray(10 * (means * colours).sum(1) - 5, dtype=np.float32)

    cell_offset = 0.0

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """Return the words, and a map for each, with two rows and a column for each word.

        Word n is found only in column n, with a higher cosine in the lower row.
        """
        words = text.split()
        cosines = np.zeros((len(words), 2, len(words)), dtype=np.float32)
        for index in range(len(words)):
            cosines[index, :, index] = 0.25, 0.5
        return words, cosines

    def likeness(self, grid: bytes, other: bytes) -> float:
        """Return 1 minus the largest difference in any colour channel."""
        here, there = (np.frombuffer(packed, dtype=np.float32) for packed in (grid, other))
        return 1 - float(abs(here - there).max())

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return tuple(word for word in text.split() if word in self.unknown)

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        if not self.calibrated:
            return None
        assert not np.isnan(scores).any()  # a real runtime would print a warning about NaN on stderr
        logits = scores if stage == "joint" else 10 * scores - 5
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _colour(text: str) -> Floats:
    named = [COLOURS[word] for word in text.split() if word in COLOURS]
    return np.asarray(np.sum(named or [(1.0, 1.0, 1.0)], axis=0), dtype=np.float32)


def _normalised(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
