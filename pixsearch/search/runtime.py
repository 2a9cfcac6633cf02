"""The model interfaces: `Encoder` for indexing, `Runtime` for searching and `PairReader` for re-ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # not needed by an indexing run that finds no new photos
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from pixsearch.model.config import InputShape, Stage
    from pixsearch.model.late_scores import ReadText

Floats: TypeAlias = "NDArray[np.float32]"


class Encoder(Protocol):
    """A model that encodes pictures and texts. Indexing needs nothing else."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def embedding_size(self) -> int: ...

    @property
    def input_shape(self) -> InputShape:
        """The input size of the network. Pictures are scaled to it when they are decoded."""

    def prepare_for_pictures(self) -> None:
        """Start loading the image network in the background, while the first pictures are decoded."""

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Encode pictures [rows, columns, 3] that already have the input size.

        Return L2-normalised embeddings [n, embedding_size] and the packed pixel grid of each picture. A model without
        pixel grids returns other bytes that its `Runtime.likeness` can compare.
        """

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Return the L2-normalised embeddings of texts [n, embedding_size]."""


class Runtime(Encoder, Protocol):
    """An encoder that can also search; `pixsearch.model.load_runtime.load_runtime` returns one."""

    @property
    def reads_pairs(self) -> bool:
        """True if the model can read words and pixels together. Otherwise, `match` raises ModelError."""

    @property
    def default_order(self) -> Literal["match", "similarity"]: ...

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Start loading the networks for text queries in the background, if loading takes time.

        With `kept_only`, load only networks that are already compiled, for callers that may not need them.
        """

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Encode each text once, for use in all stages."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Encode pictures of any size. Return L2-normalised embeddings [n, embedding_size] and packed pixel grids."""

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """Return the scores of every text with every picture [texts, pictures], from late interaction if available."""

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        """Return the ITM logit of each pair [n], given its late score. All pairs may share a single text or picture."""

    @property
    def cell_offset(self) -> float:
        """The offset, right and down, from the centre of a grid cell to its most sensitive point, in cells."""

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """Return the words, and how well each cell of the picture's grid matches each word [words, rows, columns].

        Raises WordsNotLocated.
        """

    def likeness(self, grid: bytes, other: bytes) -> float:
        """Return the similarity of two pictures, compared cell by cell. The maximum is 1."""

    @property
    def words_taught(self) -> Mapping[str, int] | None:
        """The number of times each word occurs in the training captions; None if the words were not counted."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of a text that do not occur in the training captions; none if the words were not counted."""

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """Return the probability that a person would say that the words describe the picture, for each pair [n].

        Return None if the model is not calibrated for the stage.

        Args:
            scores: late scores or ITM logits [n], depending on `stage`.
            stage: the stage that returned the scores.
        """


class PairReader(Protocol):
    """A re-rank model, which reads words and a picture together. It replaces the second stage of a runtime."""

    @property
    def name(self) -> str: ...

    @property
    def min_edge(self) -> int:
        """The minimum length of the shorter edge of a picture, in pixels."""

    def logits(self, texts: Sequence[str], picture: Image.Image) -> Floats:
        """Return how well each text matches an RGB picture [texts]. Higher is better. Raises PictureError."""
