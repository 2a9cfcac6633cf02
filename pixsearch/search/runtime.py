"""What indexing and searching need of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:  # a run that finds nothing new needs none of it
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from pixsearch.model.config import InputShape, Stage
    from pixsearch.model.late_scores import ReadText

Floats: TypeAlias = "NDArray[np.float32]"


class Encoder(Protocol):
    """Turns pictures and texts into features, which is all that indexing needs."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def embedding_size(self) -> int: ...

    @property
    def input_shape(self) -> InputShape:
        """What size the network sees pictures in: they are brought to it where they are decoded."""

    def prepare_for_pictures(self) -> None:
        """Begin to load what encoding needs, while the first pictures are decoded."""

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Encode pictures [rows, columns, 3] of that size: embeddings [n, embedding_size], L2-normalised, and the
        packed pixel grid of each, or what `Runtime.likeness` needs instead."""

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """[n, embedding_size], L2-normalised."""


class Runtime(Encoder, Protocol):
    """All that searching needs besides; `pixsearch.model.load_runtime.load_runtime` returns one."""

    @property
    def reads_pairs(self) -> bool:
        """Whether it reads words and pixels together; where it does not, `match` raises ModelError."""

    @property
    def default_order(self) -> Literal["match", "similarity"]: ...

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Begin to load what a query of words will need, if that takes time; `kept_only` where nobody knows yet that it
        will be needed."""

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Each text, read once for all stages."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Embeddings [n, embedding size], L2-normalised, and pixel grids."""

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """The score of every text with every picture, by late interaction where there is any [texts, pictures]."""

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        """The ITM logit of each pair with these late scores [n]; a single text or picture goes with all others."""

    @property
    def cell_offset(self) -> float:
        """How far right of and below its middle a cell of the grid sees most, in cells."""

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """Return the words, and how well each cell of the picture's grid shows each of them [words, rows, columns].

        Raises WordsNotLocated.
        """

    def likeness(self, grid: bytes, other: bytes) -> float:
        """How much the same stands at the same place in two pictures; 1 at most."""

    @property
    def words_taught(self) -> Mapping[str, int] | None:
        """How often each word stood in the sentences that the model learned from; None where nobody counted."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that the model was never taught, as far as it knows."""

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """For each pair the probability that a person would say that the picture shows what the words say [n], by its
        late score or its ITM logit; None where the model has no calibration for that stage."""


class PairReader(Protocol):
    """A second stage of its own, in place of a runtime's: it reads words and a whole picture together."""

    @property
    def name(self) -> str: ...

    @property
    def min_edge(self) -> int:
        """What the shorter edge of a picture should have in pixels, at least."""

    def logits(self, texts: Sequence[str], picture: Image.Image) -> Floats:
        """How well texts match an RGB picture [texts]; more is better. Raises PictureError where it cannot be read."""
