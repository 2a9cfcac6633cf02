"""What the indexer needs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Encoder(Protocol):
    """Turns pictures into features; `pixsearch.model.runtime.PixelBertRuntime` is one."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def embedding_size(self) -> int: ...

    @property
    def input_size(self) -> int:
        """Edge in pixels of what the network sees; a picture need not be decoded larger than that."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[NDArray[np.float32], list[bytes]]:
        """Embeddings [n, embedding_size], L2-normalised, and the packed pixel grid of each picture."""
