"""The interfaces of a model: `Encoder` for indexing and `Runtime` for searching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # a run that finds no new photos does not import these
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from pixsearch.model.config import InputShape, Stage
    from pixsearch.model.late_scores import ReadText

Floats: TypeAlias = "NDArray[np.float32]"


class Encoder(Protocol):
    """A model that encodes pictures and texts, which is all that indexing needs."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def embedding_size(self) -> int: ...

    @property
    def input_shape(self) -> InputShape:
        """The input size of the network; pictures are scaled to it when they are decoded."""

    def prepare_for_pictures(self) -> None:
        """Begin to load the network for pictures while the first of them are decoded."""

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Encode pictures [rows, columns, 3] of the input size.

        Return L2-normalised embeddings [n, embedding_size] and the packed pixel grid of each picture, or what
        `Runtime.likeness` needs instead.
        """

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Return the L2-normalised embeddings of texts [n, embedding_size]."""


class Runtime(Encoder, Protocol):
    """An encoder that can also search; `pixsearch.model.load_runtime.load_runtime` returns one."""

    @property
    def reads_pairs(self) -> bool:
        """Return whether the model reads words and pixels together; if not, `match` raises ModelError."""

    @property
    def default_order(self) -> Literal["match", "similarity"]: ...

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Begin to load the networks for a query of words, if that takes time.

        With `kept_only`, only load what was compiled before: the caller does not know yet whether it is needed.
        """

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Read each text once, for all stages."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Return the L2-normalised embeddings [n, embedding_size] and the packed pixel grids of pictures."""

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """Return the score of every text with every picture [texts, pictures], by late interaction if available."""

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        """Return the ITM logit of each pair [n], given its late score; a single text or picture is paired with all."""

    @property
    def cell_offset(self) -> float:
        """The offset, right and down, from the centre of a grid cell to where it is most sensitive, in cells."""

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """Return the words, and how well each cell of the picture's grid shows each of them [words, rows, columns].

        Raises WordsNotLocated.
        """

    def likeness(self, grid: bytes, other: bytes) -> float:
        """Return how alike two pictures are, cell by cell; 1 at most."""

    @property
    def words_taught(self) -> Mapping[str, int] | None:
        """The number of times each word occurs in the training captions; None if the words were not counted."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of a text that do not occur in the training captions, as far as the model knows."""

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """Return the probability [n] that a person would say that the words describe the picture, for each pair.

        The scores are late scores or ITM logits, by `stage`. Return None if the model is not calibrated for it.
        """


class PairReader(Protocol):
    """A second stage that replaces that of a runtime: it reads words together with a whole picture."""

    @property
    def name(self) -> str: ...

    @property
    def min_edge(self) -> int:
        """The least length of the shorter edge of a picture, in pixels."""

    def logits(self, texts: Sequence[str], picture: Image.Image) -> Floats:
        """Return how well texts match an RGB picture [texts]; more is better. Raises PictureError."""
