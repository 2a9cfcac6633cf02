"""Encode pictures as features with the model in a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pixsearch.library.records import NewContent
from pixsearch.model.checkpoints import checkpoint_name, fingerprint, load_config, require_graphs
from pixsearch.model.gpu_drivers import may_have_gpu
from pixsearch.search.runtime import Encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pixsearch.search.runtime import Runtime
    from pixsearch_indexer.load import DecodedPicture


NO_EMBEDDING = "the model could not embed it"


def encode_pictures(encoder: Encoder, pictures: Mapping[bytes, DecodedPicture]) -> dict[bytes, NewContent | None]:
    """Encode pictures, keyed by digest. The result is None for a picture without a usable embedding.

    Zeros, infinities and NaN would corrupt the vector index.
    """
    if not pictures:
        return {}
    import numpy as np  # imported only if there is something to encode

    embeddings, grids = encoder.encode_pixels([decoded.pixels for decoded in pictures.values()])
    return {
        digest: NewContent(digest, decoded.size_bytes, decoded.metadata, embedding, grid)
        if np.isfinite(embedding).all() and embedding.any()
        else None
        for (digest, decoded), embedding, grid in zip(pictures.items(), embeddings, grids, strict=True)
    }


class CheckpointEncoder:
    """The model in a checkpoint folder. It is loaded only when needed, because most runs find nothing new to encode."""

    def __init__(self, folder: Path) -> None:
        """Check the checkpoint, so that errors are found before a library is bound to it.

        Raises CheckpointInvalid if the checkpoint is invalid or this machine cannot run the model.
        """
        config = load_config(folder)
        if not may_have_gpu():
            require_graphs(folder)
        self.name = checkpoint_name(folder)
        self.fingerprint = fingerprint(folder)
        self.embedding_size = config.embedding_size
        self.input_shape = config.input_shape
        self._folder = folder
        self._loading: Future[Runtime] | None = None

    def prepare_for_pictures(self) -> None:
        """See `Encoder`. Errors are raised later, by the methods that need the model."""
        if self._loading is None:
            self._loading = ThreadPoolExecutor(1).submit(_load, self._folder)

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], list[bytes]]:
        """See `Encoder`. Raises CheckpointInvalid."""
        return self._loaded().encode_pixels(pixels)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`. Raises CheckpointInvalid."""
        return self._loaded().embed_texts(texts)

    def _loaded(self) -> Runtime:
        self.prepare_for_pictures()
        assert self._loading is not None
        return self._loading.result()


def _load(folder: Path) -> Runtime:
    from pixsearch.model.load_runtime import load_runtime  # imports OpenVINO or torch, which can take seconds

    runtime = load_runtime(folder)
    runtime.prepare_for_pictures()
    return runtime
