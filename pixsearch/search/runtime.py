"""What a search needs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixsearch.model.config import Stage
from pixsearch.model.late_scores import ReadText

Floats = NDArray[np.float32]


class Runtime(Protocol):
    """What the engine needs of a model; `pixsearch.model.runtime.PixelBertRuntime` is one."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def input_size(self) -> int: ...

    @property
    def default_order(self) -> Literal["match", "similarity"]: ...

    def prepare_for_words(self) -> None:
        """Begin to load what a query of words will need, if that takes time."""

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Each text, read once for all stages."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Embeddings [n, embedding size], L2-normalised, and pixel grids."""

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """What late interaction says of every text with every picture [texts, pictures]."""

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        """The ITM logit of each pair with these late scores [n]; a single text or picture goes with all others."""

    def attention(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """The words, and how much each looks at each cell of the picture's grid [words, rows, columns]."""

    def likeness(self, grid: bytes, other: bytes) -> float:
        """How much the same stands at the same place in two pictures; 1 at most."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a text that the model was never taught, as far as it knows."""

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """For each pair the probability that a person would say that the picture shows what the words say [n], by its
        late score or its ITM logit; None where the model has no calibration for that stage."""
