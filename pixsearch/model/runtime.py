"""A loaded checkpoint: pictures and words in, numpy arrays out, on the GPU or the CPU of this machine."""

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


@lru_cache(maxsize=1)  # also avoids releasing them at the end of a query, which takes 0.1 s
def forwards_of(folder: Path, fingerprint: str, gpu: bool) -> CompiledForwards | TorchForwards:
    """Load a checkpoint on the GPU if `gpu` is set and torch can use one, otherwise compile it for the CPU.

    Only the library that is needed is imported: torch for a GPU, OpenVINO for a CPU. Raises CheckpointInvalid.
    """
    if gpu and uses_gpu():
        import torch  # takes over a second, so it is only imported for a GPU

        from pixsearch.model.torch_forwards import TorchForwards

        return TorchForwards(folder, torch.device("cuda"))
    from pixsearch.model.compiled_forwards import CompiledForwards

    return CompiledForwards(folder, fingerprint)


class PixelBertRuntime:
    """A loaded checkpoint that takes pictures and words and returns numpy arrays."""

    reads_pairs = True

    def __init__(self, folder: Path, *, gpu: bool = True) -> None:
        """Load the checkpoint in a folder. With `gpu`, use a GPU if possible, which takes seconds to start.

        Raises CheckpointInvalid.
        """
        self.name = checkpoint_name(folder)
        with ThreadPoolExecutor(1) as thread:
            hashed = thread.submit(fingerprint, folder)
            self._processor = PixelBertProcessor.from_pretrained(folder)
        self.fingerprint = hashed.result()
        self._config = self._processor.config
        self._forwards = forwards_of(folder, self.fingerprint, gpu)
        self._mean_pixel = mean_pixel(folder)

    def prepare_for_words(self, *, kept_only: bool = False) -> None:
        """Start loading the networks for a text query in the background.

        With `kept_only`, load only networks that are already compiled. Use this if they may not be needed.
        """
        for name in ("read_texts", "find_words", "match"):
            self._forwards.prepare(name, kept_only=kept_only)

    def prepare_for_pictures(self) -> None:
        """Load the networks for pictures."""
        width, height = self.input_shape.picture_size(1, 1)
        self.encode_pixels([np.zeros((height, width, 3), np.uint8)])

    @property
    def embedding_size(self) -> int:
        return self._config.embedding_size

    @property
    def input_shape(self) -> InputShape:
        """The input size of the CNN."""
        return self._config.input_shape

    @property
    def default_order(self) -> Literal["match", "similarity"]:
        """The score that gave the best order of results on the model's validation set."""
        return "match" if self._config.rerank else "similarity"

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """Return the unit embeddings [pictures, embedding_size] and the packed pixel grids of RGB pictures."""
        return self.encode_pixels([np.asarray(self._processor.resize(picture)) for picture in pictures])

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        """Like `encode_pictures`, but for pixels [rows, columns, 3] of pictures that already have the input size."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, picture in enumerate(pixels):
            by_size.setdefault(picture.shape, []).append(index)
        embeddings = np.empty((len(pixels), self.embedding_size), np.float32)
        packed: dict[int, bytes] = {}
        for same in by_size.values():  # batch only pictures of the same size, so that the CNN never sees padding
            for part in _parts(len(same), self._forwards.pictures_at_once):
                indices = same[part]
                grids = self._run("encode_pictures", np.stack([pixels[index] for index in indices]))
                embeddings[indices] = self._embed_grids(grids)
                packed.update(zip(indices, map(pack_grid, grids), strict=True))
        return embeddings, [packed[index] for index in range(len(pixels))]

    def _run(self, name: str, *inputs: NDArray[Any]) -> Floats:
        return self._finite(self._forwards.run(name, *inputs))

    def _finite(self, numbers: Floats) -> Floats:
        """Return the numbers. Raises CheckpointInvalid if broken weights have made one of them infinite or NaN."""
        if not np.isfinite(numbers).all():
            raise CheckpointInvalid(f"the model {self.name} produces non-finite numbers", "Copy the model again")
        return numbers

    def embed_grid(self, grid: bytes) -> Floats:
        """Return the unit embedding of a picture [embedding_size] from its packed pixel grid."""
        grids, _ = unpack_grids([grid], len(self._mean_pixel))
        embedding: Floats = self._embed_grids(grids)[0]
        return embedding

    def _embed_grids(self, grids: Floats) -> Floats:
        # Never a single grid: a matrix-vector product differs from a matrix product in the last bits.
        at_least_two = grids if len(grids) > 1 else np.repeat(grids, 2, axis=0)
        return self._run("embed_pictures", at_least_two)[: len(grids)]

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Return the unit embeddings of sentences [sentences, embedding_size]."""
        return np.stack([text.embedding for text in self.read_texts(texts)])

    def read_texts(self, texts: Sequence[str]) -> list[ReadText]:
        """Encode sentences once for all stages: embeddings for the first stage, and words for late interaction."""
        read = dict[int, ReadText]()
        ids, mask = self._processor.words(texts)
        lengths = mask.sum(1)
        for indices in self._alike_in_length(lengths):
            longest = lengths[indices].max()
            parts = [np.ascontiguousarray(one[indices, :longest]) for one in (ids, mask)]
            rows = self._run("read_texts", *parts)
            for index, found in zip(indices.tolist(), rows, strict=True):
                words = found[1 : 1 + lengths[index]]  # without padding, which has no weight
                embedding, offset = found[0, :-1], float(found[0, -1])
                read[index] = ReadText(ids[index, : len(words)], embedding, words[:, :-1], words[:, -1], offset)
        return [read[index] for index in range(len(texts))]

    def late_scores(self, texts: Sequence[ReadText], grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """Return the score of each text with each picture by late interaction [texts, pictures]."""
        vectors, found = np.concatenate([text.vectors for text in texts]), []
        for part in _parts(len(grids), self._forwards.pairs_at_once):
            unpacked = unpack_grids(grids[part], len(self._mean_pixel))
            found.append(self._run("find_words", *unpacked, vectors))
        with np.errstate(over="ignore", invalid="ignore"):  # _finite checks the result
            return self._finite(late_scores(texts, embeddings, np.concatenate(found)))

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        """Return the ITM logits [pairs] for pairs of texts and pictures with late scores [pairs].

        All pairs may share a single text or picture.
        """
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
        """The number of times each word occurs in the training captions; None if the checkpoint does not list them."""
        return self._processor.words_taught

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """Return the words in a text that do not occur in the training captions.

        If the checkpoint does not list the words in the captions, return an empty tuple.
        """
        return unknown_words(self._processor.readable(text), self._processor.words_taught)

    def _alike_in_length(self, lengths: NDArray[np.integer]) -> Iterator[NDArray[np.intp]]:
        """Yield the indices of all sentences in batches of similar length, to keep padding short."""
        order = np.argsort(lengths, kind="stable")
        for part in _parts(len(order), self._forwards.pairs_at_once):
            yield order[part]

    @property
    def cell_offset(self) -> float:
        """The offset, right and down, from the centre of a grid cell to its most sensitive point, in cells.

        EfficientNet's five strided convolutions only pad on the right and at the bottom. In theory, this shifts the
        point by half a cell, but a quarter fits best (docs/experiments.md).
        """
        return 0.25 if self._config.backbone.startswith("efficientnet") else 0.0

    def locate_words(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """Return the words in a text and their cosines with the cells of a picture's grid [words, rows, columns].

        The cosines come from late interaction. If a word consists of several tokens, their cosines are averaged. Raises
        WordsNotLocated if the checkpoint's late interaction was never trained.
        """
        [read] = self.read_texts([text])
        if not read.weights.any():
            raise WordsNotLocated(
                f"the model {self.name} cannot locate words in a picture: its late interaction was never trained",
                "Use a different model, or train the 'late' stage of this one",
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
        """Return how alike two pictures are, cell by cell: at most 1, and 0 for pictures whose grids differ in size.

        The mean features of the training pictures are subtracted from the features of each cell. The likeness is the
        cosine between the two pictures' features in a cell, averaged over the cells.
        """
        grids, mask = unpack_grids([grid, other], len(self._mean_pixel))
        if not mask.all():
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            centred = grids - self._mean_pixel
            centred /= np.linalg.norm(centred, axis=-1, keepdims=True).clip(1e-8)
            likeness = (centred[0] * centred[1]).sum(-1).mean()
        return float(self._finite(likeness))

    def probability(self, scores: Floats, stage: Stage) -> Floats | None:
        """Return the probability that a person would say that the words describe the picture, for each pair.

        The scores are late scores or ITM logits, depending on `stage`. Return None if the checkpoint is not calibrated.
        """
        curve = None if self._config.calibration is None else getattr(self._config.calibration, stage)
        return None if curve is None else curve.probability(scores)


def _parts(count: int, at_once: int) -> list[slice]:
    """Return slices of at most `at_once` items that together cover `count` items."""
    return [slice(start, start + at_once) for start in range(0, count, at_once)]


def _padded(texts: Sequence[ReadText]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the ids of texts, padded to the longest, and their mask [texts, most words]."""
    lengths = np.array([len(text.ids) for text in texts])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([text.ids for text in texts])
    return ids, mask
