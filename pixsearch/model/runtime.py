"""A checkpoint at work: pictures and words in, numpy arrays out, on whatever this machine computes best with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixsearch.errors import CheckpointInvalid, WordsNotLocated
from pixsearch.model.checkpoints import checkpoint_name, fingerprint, mean_pixel
from pixsearch.model.config import InputShape, Stage
from pixsearch.model.gpu_drivers import uses_gpu
from pixsearch.model.grids import pack_grid, unpack_grids
from pixsearch.model.late_scores import ReadText, late_scores
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.words import unknown_words

if TYPE_CHECKING:
    from pixsearch.model.compiled_forwards import CompiledForwards
    from pixsearch.model.torch_forwards import TorchForwards

Floats = NDArray[np.float32]


@lru_cache(maxsize=1)  # also because to let go of them takes 0.1 s, which a query need not spend before it ends
def forwards_of(folder: Path, fingerprint: str, gpu: bool) -> CompiledForwards | TorchForwards:
    """The checkpoint on a GPU where one is wanted and torch can use it, else compiled for the CPU.

    Each brings its own library: torch is not imported for a CPU, nor OpenVINO for a GPU. Raises CheckpointInvalid.
    """
    if gpu and uses_gpu():
        import torch  # over a second, which those without a GPU need not pay

        from pixsearch.model.torch_forwards import TorchForwards

        return TorchForwards(folder, torch.device("cuda"))
    from pixsearch.model.compiled_forwards import CompiledForwards

    return CompiledForwards(folder, fingerprint)


class PixelBertRuntime:
    """A loaded checkpoint that takes pictures and words and gives numpy arrays."""

    reads_pairs = True

    def __init__(self, folder: Path, *, gpu: bool = True) -> None:
        """Load the checkpoint of a folder; a `gpu` takes seconds to begin with. Raises CheckpointInvalid."""
        self.name = checkpoint_name(folder)
        with ThreadPoolExecutor(1) as thread:
            hashed = thread.submit(fingerprint, folder)
            self._processor = PixelBertProcessor.from_pretrained(folder)
        self.fingerprint = hashed.result()
        self._config = self._processor.config
        self._forwards = forwards_of(folder, self.fingerprint, gpu)
        self._mean_pixel = mean_pixel(folder)

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Begin to load what a query of words will need, while the caller does something else.

        `kept_only`: only what was compiled before, where it is not sure yet that it will be needed.
        """
        for name in ("read_texts", "find_words", "match"):
            self._forwards.prepare(name, kept_only=kept_only)

    def prepare_for_pictures(self) -> None:
        """Load what pictures will need."""
        width, height = self.input_shape.picture_size(1, 1)
        self.encode_pixels([np.zeros((height, width, 3), np.uint8)])

    @property
    def embedding_size(self) -> int:
        return self._config.embedding_size

    @property
    def input_shape(self) -> InputShape:
        """What size the CNN sees a picture in."""
        return self._config.input_shape

    @property
    def default_order(self) -> Literal["match", "similarity"]:
        """What orders results best, by the validation set the model was measured on."""
        return "match" if self._config.rerank else "similarity"

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """RGB pictures -> unit embeddings [pictures, embedding_size] and packed pixel grids, for `match`."""
        return self.encode_pixels([np.asarray(self._processor.resize(picture)) for picture in pictures])

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Encode the pixels [rows, columns, 3] of pictures that already have the size of `input_shape`; see
        `encode_pictures`."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, picture in enumerate(pixels):
            by_size.setdefault(picture.shape, []).append(place)
        embeddings = np.empty((len(pixels), self.embedding_size), np.float32)
        packed: dict[int, bytes] = {}
        for same in by_size.values():  # together only what has one size: the CNN never sees padding
            for part in _parts(len(same), self._forwards.pictures_at_once):
                places = same[part]
                grids = self._run("encode_pictures", np.stack([pixels[place] for place in places]))
                embeddings[places] = self._embed_grids(grids)
                packed.update(zip(places, map(pack_grid, grids), strict=True))
        return embeddings, [packed[place] for place in range(len(pixels))]

    def _run(self, name: str, *inputs: NDArray[Any]) -> Floats:
        return self._finite(self._forwards.run(name, *inputs))

    def _finite(self, numbers: Floats) -> Floats:
        """Raises CheckpointInvalid where weights that are none have made numbers that are none."""
        if not np.isfinite(numbers).all():
            raise CheckpointInvalid(f"the model {self.name} gives numbers that are not finite", "Copy it again")
        return numbers

    def embed_grid(self, grid: bytes) -> Floats:
        """A packed pixel grid -> the unit embedding of its picture [embedding_size]."""
        grids, _ = unpack_grids([grid], len(self._mean_pixel))
        embedding: Floats = self._embed_grids(grids)[0]
        return embedding

    def _embed_grids(self, grids: Floats) -> Floats:
        # Never one alone: the product of a matrix and a vector has other last bits than that of two matrices.
        at_least_two = grids if len(grids) > 1 else np.repeat(grids, 2, axis=0)
        return self._run("embed_pictures", at_least_two)[: len(grids)]

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Sentences -> unit embeddings [sentences, embedding_size]."""
        return np.stack([text.embedding for text in self.read_texts(texts)])

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Read sentences once for all stages: their embeddings, and their words for late interaction."""
        read = dict[int, ReadText]()
        ids, mask = self._processor.words(texts)
        lengths = mask.sum(1)
        for indices in self._alike_in_length(lengths):
            longest = lengths[indices].max()
            parts = [np.ascontiguousarray(one[indices, :longest]) for one in (ids, mask)]
            rows = self._run("read_texts", *parts)
            for index, found in zip(indices.tolist(), rows, strict=True):
                words = found[1 : 1 + lengths[index]]  # what is padded weighs nothing
                embedding, offset = found[0, :-1], float(found[0, -1])
                read[index] = ReadText(ids[index, : len(words)], embedding, words[:, :-1], words[:, -1], offset)
        return [read[index] for index in range(len(texts))]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """Late scores [texts, pictures] of every text with every picture, given by their grids and embeddings."""
        vectors, found = np.concatenate([text.vectors for text in texts]), []
        for part in _parts(len(grids), self._forwards.pairs_at_once):
            unpacked = unpack_grids(grids[part], len(self._mean_pixel))
            found.append(self._run("find_words", *unpacked, vectors))
        with np.errstate(over="ignore", invalid="ignore"):  # which is looked for
            return self._finite(late_scores(texts, embeddings, np.concatenate(found)))

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        """ITM logits [pairs] of texts and pictures that have these late scores [pairs]; a single text or picture goes
        with all others."""
        logits = np.empty(len(late_scores), np.float32)
        lengths = np.broadcast_to([len(text.ids) for text in texts], logits.shape)
        for indices in self._alike_in_length(lengths):
            words = _padded([texts[index] for index in indices] if len(texts) > 1 else texts)
            packed = [grids[index] for index in indices] if len(grids) > 1 else grids
            pixels = unpack_grids(packed, len(self._mean_pixel))
            logits[indices] = self._run("match", *words, *pixels, late_scores[indices])
        return logits

    @property
    def words_taught(self) -> Mapping[str, int] | None:
        """How often each word stood in the sentences that the checkpoint was trained on; None where it does not say."""
        return self._processor.words_taught

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words of a text that the checkpoint was never taught; none where it does not list its words."""
        return unknown_words(self._processor.readable(text), self._processor.words_taught)

    def _alike_in_length(self, lengths: NDArray[np.integer]) -> Iterator[NDArray[np.intp]]:
        """Yield the indices of all sentences in batches of similar lengths, which need little padding."""
        order = np.argsort(lengths, kind="stable")
        for part in _parts(len(order), self._forwards.pairs_at_once):
            yield order[part]

    @property
    def cell_offset(self) -> float:
        """How far right of and below its middle a cell of the grid sees most, in cells.

        EfficientNet's five strides each pad behind the edge alone, which makes half a cell; a quarter fits best
        (docs/experiments.md).
        """
        return 0.25 if self._config.backbone.startswith("efficientnet") else 0.0

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """Return the words of a text, and the cosine of each with each cell of the grid of a picture of that size,
        [words, rows, columns], as late interaction compares them.

        A word of several pieces has the mean of theirs. Raises WordsNotLocated for a checkpoint without late
        interaction.
        """
        [read] = self.read_texts([text])
        if not read.weights.any():
            raise WordsNotLocated(
                f"the model {self.name} cannot show where words are: its late interaction was never trained",
                "Use another model, or train the stage 'late' of it",
            )
        [pieces] = self._processor.encodings([text])
        pixels, _ = unpack_grids([grid], len(self._mean_pixel))
        by_piece = self._run("locate_words", pixels, read.vectors)
        tokens_of: dict[int, list[int]] = {}
        for token, number in enumerate(pieces.word_ids):
            if number is not None:
                tokens_of.setdefault(number, []).append(token)
        words, cosines = [], []
        for tokens in tokens_of.values():
            words.append(text[pieces.offsets[tokens[0]][0] : pieces.offsets[tokens[-1]][1]])
            cosines.append(by_piece[tokens].mean(0))
        return words, np.reshape(cosines, (len(words), *self._config.grid_size(width, height))).astype(np.float32)

    def likeness(self, grid: bytes, other: bytes) -> float:
        """How much the same stands at the same place in two pictures: the mean over the pixels of the cosine of their
        features, less the mean features of all pictures; 1 at most, 0 for pictures of different shapes."""
        grids, mask = unpack_grids([grid, other], len(self._mean_pixel))
        if not mask.all():
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            centred = grids - self._mean_pixel
            centred /= np.linalg.norm(centred, axis=-1, keepdims=True).clip(1e-8)
            likeness = (centred[0] * centred[1]).sum(-1).mean()
        return float(self._finite(likeness))

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """For each pair the probability that a person would say that the picture shows what the words say, by its late
        score or its ITM logit; None where the checkpoint was not calibrated for that stage."""
        curve = None if self._config.calibration is None else getattr(self._config.calibration, stage)
        return None if curve is None else curve.probability(scores)


def _parts(count: int, at_once: int) -> list[slice]:
    """Slices of so many each, which together are all."""
    return [slice(start, start + at_once) for start in range(0, count, at_once)]


def _padded(texts: Sequence[ReadText]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ids and mask [texts, most words]."""
    lengths = np.array([len(text.ids) for text in texts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([text.ids for text in texts])
    return ids, mask
