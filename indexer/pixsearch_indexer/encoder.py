"""What the indexer needs of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pixsearch.library.records import NewContent
from pixsearch.model.checkpoints import CONFIG_FILE, checkpoint_name, fingerprint
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.gpu_drivers import may_have_gpu
from pixsearch.model.graphs import load_graphs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from pixsearch.model.runtime import PixelBertRuntime
    from pixsearch_indexer.load import DecodedPicture


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

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n, embedding_size], L2-normalised."""


NO_EMBEDDING = "the model made no usable embedding of it"


def encode_pictures(encoder: Encoder, pictures: Mapping[bytes, DecodedPicture]) -> dict[bytes, NewContent | None]:
    """Pictures by digest as contents; None for one without a usable embedding: zeros, infinities and NaN would poison
    the vector index."""
    if not pictures:
        return {}
    import numpy as np  # for those who have something to encode

    embeddings, grids = encoder.encode_pictures([decoded.picture for decoded in pictures.values()])
    return {
        digest: NewContent(digest, decoded.size_bytes, decoded.metadata, embedding, grid)
        if np.isfinite(embedding).all() and embedding.any()
        else None
        for (digest, decoded), embedding, grid in zip(pictures.items(), embeddings, grids, strict=True)
    }


class CheckpointEncoder:
    """The model in a checkpoint's folder, loaded when the first picture comes: most runs find nothing new."""

    def __init__(self, folder: Path) -> None:
        """Raises CheckpointInvalid, also where this machine could not run it: before a library is bound to it."""
        config = PixelBertConfig.load(folder / CONFIG_FILE)
        if not may_have_gpu():
            load_graphs(folder)
        self.name = checkpoint_name(folder)
        self.fingerprint = fingerprint(folder)
        self.embedding_size = config.embedding_size
        self.input_size = config.input_size
        self._folder = folder
        self._runtime: PixelBertRuntime | None = None

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[NDArray[np.float32], list[bytes]]:
        """See `Encoder`. Raises CheckpointInvalid."""
        return self._loaded().encode_pictures(pictures)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`. Raises CheckpointInvalid."""
        return self._loaded().embed_texts(texts)

    def _loaded(self) -> PixelBertRuntime:
        if self._runtime is None:
            from pixsearch.model.runtime import PixelBertRuntime  # which imports what computes: OpenVINO, or torch

            self._runtime = PixelBertRuntime(self._folder)
        return self._runtime
