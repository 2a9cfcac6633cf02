"""The one place that decides how a forward runs on this machine: which device, which number format."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401  (before anything that imports torchvision)

import torch  # isort: skip
from pixsearch.model.backbones import NoBackbone
from pixsearch.model.checkpoints import checkpoint_name, fingerprint, load_checkpoint, load_cnn
from pixsearch.model.grids import pack_grid, unpack_grids

Floats = NDArray[np.float32]

_MATCH_BATCH = 64  # pairs a forward: more gains nothing on a CPU and takes memory


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bf16 where the hardware multiplies it natively (CUDA from Ampere on, CPUs with AVX512-BF16 or AMX); else fp32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, torch.bfloat16) if native else nullcontext()


class PixelBertRuntime:
    """A loaded checkpoint that takes pictures and words and gives numpy arrays."""

    def __init__(self, folder: Path) -> None:
        """Load the checkpoint of a folder. Raises CheckpointInvalid."""
        self.name = checkpoint_name(folder)
        self.fingerprint = fingerprint(folder)
        self._device = best_device()
        # Without the CNN, which words have no need of: it comes with the first picture.
        model, self._processor = load_checkpoint(folder, with_cnn=False)
        self._model = model.to(self._device)
        self._config = model.config
        self._folder = folder
        self._cnn_lock = Lock()

    @property
    def embedding_size(self) -> int:
        return self._config.embedding_size

    @property
    def input_size(self) -> int:
        """Edge in pixels of the square that the CNN sees."""
        return self._config.input_size

    @property
    def default_order(self) -> Literal["match", "similarity"]:
        """What orders results best, by the validation set the model was measured on."""
        return "match" if self._config.rerank else "similarity"

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        """RGB pictures -> unit embeddings [pictures, embedding_size] and packed pixel grids, for `match`."""
        self._load_cnn()
        pixels = self._processor.pixels(pictures)
        with torch.inference_mode(), autocast(self._device):
            grids, mask = self._model.model.encode_grids(pixels)
            grids = grids.float()
            embeddings = self._model.embed_image(grids, mask)
        packed = [pack_grid(grid[here]) for grid, here in zip(grids.cpu().numpy(), mask.cpu().numpy(), strict=True)]
        return embeddings.float().cpu().numpy(), packed

    def embed_texts(self, texts: Sequence[str]) -> Floats:
        """Sentences -> unit embeddings [sentences, embedding_size]."""
        ids, mask = self._words(texts)
        with torch.inference_mode(), autocast(self._device):
            return self._model.embed_text(ids, mask).float().cpu().numpy()

    def match(self, text: str, grids: Sequence[bytes], embeddings: Floats) -> Floats:
        """ITM logits [pictures] of one sentence with many pictures, given by their grids and embeddings."""
        similarities = torch.from_numpy(embeddings @ self.embed_texts([text])[0]).to(self._device)
        words, logits = self._words([text]), []
        with torch.inference_mode(), autocast(self._device):
            for start in range(0, len(grids), _MATCH_BATCH):
                grid, pixel_mask = self._unpacked(grids[start : start + _MATCH_BATCH])
                similarity = similarities[start : start + _MATCH_BATCH]
                logits.append(self._model.match(*words, grid, similarity, pixel_mask))
        return torch.cat(logits).float().cpu().numpy()

    def match_texts(self, texts: Sequence[str], grid: bytes, embedding: Floats) -> Floats:
        """ITM logits [sentences] of many sentences with one picture."""
        similarities = torch.from_numpy(self.embed_texts(texts) @ embedding).to(self._device)
        (pixels, _), logits = self._unpacked([grid]), []  # alone, so without padding
        with torch.inference_mode(), autocast(self._device):
            for start in range(0, len(texts), _MATCH_BATCH):
                words = self._words(texts[start : start + _MATCH_BATCH])
                logits.append(self._model.match(*words, pixels, similarities[start : start + _MATCH_BATCH]))
        return torch.cat(logits).float().cpu().numpy()

    def attention(self, text: str, grid: bytes, width: int, height: int) -> tuple[list[str], Floats]:
        """What each word looks at in a picture of that size: the words, and [words, rows, columns] of the grid.

        The mean over the heads of the last layer; a word of several pieces has the mean of theirs.
        """
        pieces = self._processor.tokenizer.encode(text)
        ids, mask = self._words([text])
        unpacked, _ = unpack_grids([grid], self._model.model.backbone.channels)
        with torch.inference_mode(), autocast(self._device):
            maps = self._model.model.attention_to_pixels(ids, mask, torch.from_numpy(unpacked).to(self._device))
        by_piece = maps[-1, 0].float().cpu().numpy()
        tokens_of: dict[int, list[int]] = {}
        for token, number in enumerate(pieces.word_ids):
            if number is not None:
                tokens_of.setdefault(number, []).append(token)
        words, attention = [], []
        for tokens in tokens_of.values():
            words.append(text[pieces.offsets[tokens[0]][0] : pieces.offsets[tokens[-1]][1]])
            attention.append(by_piece[tokens].mean(0).reshape(self._config.grid_size(width, height)))
        return words, np.stack(attention)

    def likeness(self, grid: bytes, other: bytes) -> float:
        """How much the same stands at the same place in two pictures: the mean over the pixels of the cosine of their
        features, less the mean features of all pictures; 1 at most, 0 for pictures of different shapes."""
        grids, mask = unpack_grids([grid, other], self._model.model.backbone.channels)
        if not mask.all():
            return 0.0
        centred = torch.from_numpy(grids) - self._model.model.standardise.mean.cpu()
        return float(torch.nn.functional.cosine_similarity(centred[0], centred[1], dim=-1).mean())

    def probability(self, logits: Floats) -> Floats | None:
        """Calibrated probability that a pair matches; None where the checkpoint was not calibrated."""
        if (calibration := self._config.calibration) is None:
            return None
        # The sigmoid, written so that a hopeless pair overflows nothing.
        probabilities: Floats = np.exp(-np.logaddexp(0, -(logits / calibration.temperature + calibration.bias)))
        return probabilities

    def _load_cnn(self) -> None:
        with self._cnn_lock:  # threads may ask together
            if isinstance(self._model.model.backbone, NoBackbone):
                load_cnn(self._folder, self._model)

    def _words(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = self._processor.words(texts)
        return ids.to(self._device), mask.to(self._device)

    def _unpacked(self, grids: Sequence[bytes]) -> tuple[torch.Tensor, torch.Tensor]:
        unpacked, mask = map(torch.from_numpy, unpack_grids(grids, self._model.model.backbone.channels))
        return unpacked.to(self._device), mask.to(self._device)
