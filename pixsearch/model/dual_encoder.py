"""A dual encoder at work: pictures and words in, numpy arrays out, as `pixsearch.model.runtime` does for Pixel-BERT."""

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
"""Of a text for each token that the model takes; the rest is not read."""


class DualEncoderRuntime:
    """A loaded dual encoder that takes pictures and words and gives numpy arrays."""

    reads_pairs = False
    default_order: Literal["match", "similarity"] = "similarity"
    words_taught: Mapping[str, int] | None = None

    def __init__(self, folder: Path, *, gpu: bool = True, towers: CompiledTowers | TorchTowers | None = None) -> None:
        """Load the model of a folder; `towers` run it in place of what is fastest here. Raises CheckpointInvalid."""
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
        """What size the network sees a picture in."""
        return self._config.input_shape

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Begin to load what a query of words will need; `kept_only`: only what was compiled before."""
        self._towers.prepare("texts", kept_only=kept_only)

    def prepare_for_pictures(self) -> None:
        """Load what pictures will need."""
        width, height = self._config.seen_size
        self.encode_pixels([np.zeros((height, width, 3), np.uint8)])

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """RGB pictures -> unit embeddings [pictures, embedding size] and small copies of them, for `likeness`."""
        return self.encode_pixels([np.asarray(as_seen(picture, self.input_shape)) for picture in pictures])

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Encode the pixels [rows, columns, 3] of pictures as `input_shape` has them; see `encode_pictures`."""
        embeddings = np.empty((len(pixels), self.embedding_size), np.float32)
        for start in range(0, len(pixels), self._towers.pictures_at_once):
            part = slice(start, start + self._towers.pictures_at_once)
            embeddings[part] = self._run("pictures", np.stack(pixels[part]))
        return embeddings, [pack_small(one) for one in pixels]

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Sentences -> unit embeddings [sentences, embedding size]."""
        tokens = self._tokens(texts)
        lengths = np.array([len(one) for one in tokens])
        embeddings = np.empty((len(texts), self.embedding_size), np.float32)
        for length in np.unique(lengths):  # together only what has one length: no tower is given a mask
            same = np.flatnonzero(lengths == length)
            for start in range(0, len(same), self._towers.texts_at_once):
                indices = same[start : start + self._towers.texts_at_once]
                embeddings[indices] = self._run("texts", np.array([tokens[index] for index in indices], np.int64))
        return embeddings

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Read sentences once for all stages. There is nothing but their embeddings for late interaction."""
        no_words = np.empty((0, self.embedding_size), np.float32)
        return [
            ReadText(np.empty(0, np.int64), embedding, no_words, np.empty(0, np.float32), 0.0)
            for embedding in self.embed_texts(texts)
        ]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:  # noqa: ARG002
        """The model's own logits [texts, pictures], of the embeddings alone."""
        cosines = np.stack([text.embedding for text in texts]) @ embeddings.T
        logits: Floats = (self._config.scale * cosines + self._config.bias).astype(np.float32)
        return logits

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:  # noqa: ARG002
        """Raises ModelError: this model reads no text together with a picture."""
        raise ModelError(
            f"the model {self.name} does not read words and pixels together", "Use a Pixel-BERT checkpoint for that"
        )

    @property
    def cell_offset(self) -> float:
        """0: there are no cells."""
        return 0.0

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:  # noqa: ARG002
        """Raises WordsNotLocated: this model has one vector for a picture."""
        raise WordsNotLocated(
            f"the model {self.name} cannot show where words are: it has one vector for a whole picture",
            "Use a Pixel-BERT checkpoint",
        )

    def likeness(self, grid: bytes, other: bytes) -> float:
        """How much the small copies of two pictures are alike; 1 at most, and ALIKE where it is just enough."""
        return likeness_of(grid, other)

    def unknown_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """None: nobody knows which words the model was taught."""
        return ()

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """For each pair the probability that a person would say that the picture shows what the words say: calibrated,
        or for a model that learned with a sigmoid the model's own; else None."""
        if stage == "joint":
            return None
        curve = Curve(1.0, 0.0) if self._config.is_sigmoid else None
        if self._config.calibration is not None:
            curve = self._config.calibration.late
        return None if curve is None else curve.probability(scores)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Raises CheckpointInvalid for a tokenizer of no use."""
        most = self._config.max_tokens * _MOST_CHARACTERS
        try:
            encodings = self._tokenizer.encode_batch([text[:most] for text in texts])
        except Exception as error:  # tokenizers raises bare Exception for every kind of failure
            raise CheckpointInvalid(f"{self.name}: {DUAL_TOKENIZER_FILE} cannot read a text ({error})") from error
        found = [encoding.ids or [self._config.pad_id] for encoding in encodings]
        if any(max(ids) >= self._config.vocabulary_size for ids in found):
            raise CheckpointInvalid(f"{self.name}: {DUAL_TOKENIZER_FILE} is not that of its weights")
        return found

    def _run(self, tower: str, inputs: NDArray[Any]) -> Floats:
        """Raises CheckpointInvalid where weights that are none have made numbers that are none."""
        embeddings: Floats = self._towers.run(tower, inputs)
        if embeddings.shape != (len(inputs), self.embedding_size) or not np.isfinite(embeddings).all():
            raise CheckpointInvalid(f"the model {self.name} gives no unit vectors of its size", "Convert it again")
        return embeddings


@lru_cache(maxsize=1)  # to let go of them takes time, which a query need not spend before it ends
def _towers_of(folder: Path, fingerprint: str, gpu: bool) -> CompiledTowers | TorchTowers:
    """The towers on a GPU where one is wanted and torch can use it, else compiled for the CPU."""
    if gpu and uses_gpu():
        import torch  # over a second, which those without a GPU need not pay

        from pixsearch.model.torch_towers import TorchTowers

        return TorchTowers(folder, torch.device("cuda"))
    from pixsearch.model.compiled_forwards import CompiledTowers

    return CompiledTowers(folder, fingerprint)


def _load_tokenizer(folder: Path) -> Tokenizer:
    """Raises CheckpointInvalid."""
    file = folder / DUAL_TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_buffer(read_regular(file, TEXT_LIMIT_BYTES))
    except Exception as error:  # tokenizers raises bare Exception for every kind of failure
        reason = getattr(error, "strerror", None) or error
        raise CheckpointInvalid(
            f"{file} is not a tokenizer ({reason})", f"Convert the model again with: {command_to_convert(folder)}"
        ) from error
    return tokenizer
