"""A loaded dual encoder: pictures and words in, numpy arrays out, like `pixsearch.model.runtime` for Pixel-BERT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from pixsearch.errors import CheckpointInvalid, ModelError, WordsNotLocated
from pixsearch.model.checkpoints import checkpoint_name, fingerprint
from pixsearch.model.config import Curve, InputShape, Stage
from pixsearch.model.dual_encoder_config import (
    DUAL_ENCODER_FILE,
    DUAL_TOKENIZER_FILE,
    DualEncoderConfig,
    command_to_convert,
)
from pixsearch.model.gpu_drivers import uses_gpu
from pixsearch.model.late_scores import ReadText
from pixsearch.model.likeness import likeness_of, pack_small
from pixsearch.pictures import as_seen
from pixsearch.regular_files import TEXT_LIMIT_BYTES, read_regular

if TYPE_CHECKING:
    from pixsearch.model.compiled_forwards import CompiledTowers
    from pixsearch.model.torch_towers import TorchTowers

Floats = NDArray[np.float32]

_MOST_CHARACTERS = 128
"""The maximum number of characters read per token. Text beyond `max_tokens` times this number is ignored."""


class DualEncoderRuntime:
    """A loaded dual encoder that takes pictures and words and returns numpy arrays."""

    reads_pairs = False
    default_order: Literal["match", "similarity"] = "similarity"
    words_taught: Mapping[str, int] | None = None

    def __init__(self, folder: Path, *, gpu: bool = True, towers: CompiledTowers | TorchTowers | None = None) -> None:
        """Load the model in a folder. Raises CheckpointInvalid.

        Args:
            folder: the folder of a converted model.
            gpu: True to use a GPU if possible.
            towers: the towers to use; None for the fastest on this machine.
        """
        self.name = checkpoint_name(folder)
        self._config = DualEncoderConfig.load(folder / DUAL_ENCODER_FILE)
        self.fingerprint = fingerprint(folder)
        self._tokenizer = _load_tokenizer(folder)
        self._towers = towers or _towers_of(folder, self.fingerprint, gpu)

    @property
    def embedding_size(self) -> int:
        return self._config.embedding_size

    @property
    def input_shape(self) -> InputShape:
        """The input size of the network."""
        return self._config.input_shape

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Start loading the text tower for a text query; with `kept_only`, only if it is already compiled."""
        self._towers.prepare("texts", kept_only=kept_only)

    def prepare_for_pictures(self) -> None:
        """Load the picture tower."""
        width, height = self._config.seen_size
        self.encode_pixels([np.zeros((height, width, 3), np.uint8)])

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Return unit embeddings [pictures, embedding size] of RGB pictures, and their small copies for `likeness`."""
        return self.encode_pixels([np.asarray(as_seen(picture, self.input_shape)) for picture in pictures])

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Like `encode_pictures`, but for pixels [rows, columns, 3] of pictures that already have the input size."""
        embeddings = np.empty((len(pixels), self.embedding_size), np.float32)
        for start in range(0, len(pixels), self._towers.pictures_at_once):
            part = slice(start, start + self._towers.pictures_at_once)
            embeddings[part] = self._run("pictures", np.stack(pixels[part]))
        return embeddings, [pack_small(one) for one in pixels]

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Return the unit embeddings of sentences [sentences, embedding size]."""
        tokens = self._tokens(texts)
        lengths = np.array([len(one) for one in tokens])
        embeddings = np.empty((len(texts), self.embedding_size), np.float32)
        for length in np.unique(lengths):  # batch only sentences of equal length, because towers take no mask
            same = np.flatnonzero(lengths == length)
            for start in range(0, len(same), self._towers.texts_at_once):
                indices = same[start : start + self._towers.texts_at_once]
                embeddings[indices] = self._run("texts", np.array([tokens[index] for index in indices], np.int64))
        return embeddings

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Encode sentences once for all stages. The results contain only embeddings, no word vectors."""
        no_words = np.empty((0, self.embedding_size), np.float32)
        return [
            ReadText(np.empty(0, np.int64), embedding, no_words, np.empty(0, np.float32), 0.0)
            for embedding in self.embed_texts(texts)
        ]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:  # noqa: ARG002
        """Return the model's own logits [texts, pictures], which only depend on the embeddings."""
        cosines = np.stack([text.embedding for text in texts]) @ embeddings.T
        logits: Floats = (self._config.scale * cosines + self._config.bias).astype(np.float32)
        return logits

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:  # noqa: ARG002
        """Raise ModelError, because this model does not read words and pixels together."""
        raise ModelError(f"the model {self.name} does not support re-ranking", "Use a Pixel-BERT checkpoint instead")

    @property
    def cell_offset(self) -> float:
        """Always 0, because there are no grid cells."""
        return 0.0

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:  # noqa: ARG002
        """Raise WordsNotLocated, because this model has only one vector per picture."""
        raise WordsNotLocated(
            f"the model {self.name} cannot locate words in a picture: it computes only one vector per picture",
            "Use a Pixel-BERT checkpoint",
        )

    def likeness(self, grid: bytes, other: bytes) -> float:
        """Return the likeness of two pictures' small copies: at most 1, and at least ALIKE for near-duplicates."""
        return likeness_of(grid, other)

    def unknown_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """Return an empty tuple, because the words in the model's training data are not known."""
        return ()

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """Return the probability that a person would say that the words describe the picture, for each pair.

        It comes from the calibration, or from the model itself if it was trained with a sigmoid. Return None if neither
        is available, and for the joint stage.
        """
        if stage == "joint":
            return None
        curve = Curve(1.0, 0.0) if self._config.is_sigmoid else None
        if self._config.calibration is not None:
            curve = self._config.calibration.late
        return None if curve is None else curve.probability(scores)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text. Raises CheckpointInvalid if the tokenizer is unusable."""
        most = self._config.max_tokens * _MOST_CHARACTERS
        try:
            encodings = self._tokenizer.encode_batch([text[:most] for text in texts])
        except Exception as error:  # tokenizers raises bare Exception for every kind of failure
            raise CheckpointInvalid(
                f"{self.name}: {DUAL_TOKENIZER_FILE} cannot split text into tokens ({error})"
            ) from error
        found = [encoding.ids or [self._config.pad_id] for encoding in encodings]
        if any(max(ids) >= self._config.vocabulary_size for ids in found):
            raise CheckpointInvalid(f"{self.name}: {DUAL_TOKENIZER_FILE} does not match the weights")
        return found

    def _run(self, tower: str, inputs: NDArray[Any]) -> Floats:
        """Run a tower. Raises CheckpointInvalid if its output has the wrong size or is not finite."""
        embeddings: Floats = self._towers.run(tower, inputs)
        if embeddings.shape != (len(inputs), self.embedding_size) or not np.isfinite(embeddings).all():
            raise CheckpointInvalid(
                f"the model {self.name} does not produce finite vectors of size {self.embedding_size}",
                "Convert the model again",
            )
        return embeddings


@lru_cache(maxsize=1)  # also avoids releasing the towers at the end of a query, which takes time
def _towers_of(folder: Path, fingerprint: str, gpu: bool) -> CompiledTowers | TorchTowers:
    """Load the towers on the GPU if `gpu` is set and torch can use one, otherwise compile them for the CPU."""
    if gpu and uses_gpu():
        import torch  # takes over a second, so it is only imported for a GPU

        from pixsearch.model.torch_towers import TorchTowers

        return TorchTowers(folder, torch.device("cuda"))
    from pixsearch.model.compiled_forwards import CompiledTowers

    return CompiledTowers(folder, fingerprint)


def _load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer of a converted model. Raises CheckpointInvalid."""
    file = folder / DUAL_TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_buffer(read_regular(file, TEXT_LIMIT_BYTES))
    except Exception as error:  # tokenizers raises bare Exception for every kind of failure
        reason = getattr(error, "strerror", None) or error
        raise CheckpointInvalid(
            f"{file} is not a valid tokenizer ({reason})", f"Convert the model again with: {command_to_convert(folder)}"
        ) from error
    return tokenizer
