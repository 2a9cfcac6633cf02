"""Made-up grids and batches for tests, and the cross-entropy of softmaxes in both directions, computed with numpy."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pixsearch.model.grids import pack_grid
from pixsearch_trainer.batches.sources import PairBatch, PictureInputs
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.grids import GridStore
from pixsearch_trainer.objectives.streams import Texts

CHANNELS = 1280  # the tiny checkpoint's CNN


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit_vectors(count: int, width: int, seed: int = 1) -> Tensor:
    return F.normalize(torch.randn(count, width, generator=chance(seed)), dim=1)


def pixels_of(packed: Sequence[CaptionedPicture]) -> Tensor:
    """Return pixels [n, 3, 64, 64], normalised as for EfficientNet-Lite."""
    pictures = [ZipFile(str(picture.file.parent)).read(picture.file.name) for picture in packed]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)), np.float32) for data in pictures])
    return torch.from_numpy((pixels - 127) / 128).permute(0, 3, 1, 2)


def store_of(grids: Iterable[Tensor]) -> GridStore:
    """Return a store of grids [pixels, channels] of different sizes, packed as in the cache."""
    grids = list(grids)
    packed = [pack_grid(grid.numpy()) for grid in grids]
    return GridStore(np.frombuffer(b"".join(packed), np.uint8), np.cumsum([0, *map(len, packed)]), grids[0].shape[1])


def batch_of(
    pictures: list[int], captions: list[int], pixels: int = 4, near_misses: list[int] | None = None
) -> PairBatch:
    """Return a batch of random grids. Text n is [CLS], a word only it has, a word that all texts share, and [SEP]."""
    near_misses = near_misses or [-1] * len(captions)
    ids, near_ids = (torch.tensor([[101, 104 + text, 150, 102] for text in some]) for some in (captions, near_misses))
    inputs = PictureInputs(
        None, torch.rand(len(pictures), pixels, CHANNELS, generator=chance()), torch.ones(len(ids), pixels) > 0
    )
    texts = torch.tensor(captions), torch.tensor(near_misses)
    return PairBatch(torch.tensor(pictures), *texts, ids, ids > 0, near_ids, near_ids > 0, inputs, [])


def texts_of(batch: PairBatch, vectors: Tensor) -> Texts:
    """Return the texts of a batch. A caption is true of every picture with which it occurs."""
    pairs = list(zip(batch.pictures.tolist(), batch.captions.tolist(), strict=True))
    own = [[caption if one == picture else -1 for one, caption in pairs] for picture in range(max(pairs)[0] + 1)]
    return Texts(vectors, torch.tensor(own), has_near_misses=bool((batch.near_misses >= 0).any()))


def padded(batch: PairBatch) -> PairBatch:
    """Return the batch with one extra word per caption and two extra pixels per picture, all of them masked."""
    ids, mask = F.pad(batch.ids, (0, 1), value=151), F.pad(batch.mask, (0, 1))
    grid = torch.cat([grid_of(batch), 9 * torch.rand(len(batch), 2, CHANNELS, generator=chance(5))], dim=1)
    inputs = PictureInputs(None, grid, torch.arange(grid.shape[1]).expand(len(batch), -1) < grid.shape[1] - 2)
    return replace(batch, ids=ids, mask=mask, inputs=inputs)


def grid_of(batch: PairBatch) -> Tensor:
    assert batch.inputs.grid is not None
    return batch.inputs.grid


def both_ways(scores: Tensor, targets: tuple[NDArray[np.float64], NDArray[np.float64]]) -> float:
    """Return the cross-entropy of softmaxes over rows and over columns, each with its own targets."""
    logits = scores.detach().double().numpy()
    directions = zip((logits, logits.T), targets, strict=True)
    found = [(wanted * (one - np.log(np.exp(one).sum(1, keepdims=True)))).sum(1).mean() for one, wanted in directions]
    return -float(np.mean(found))


def targets_of(
    batch: PairBatch, sentences: Tensor, softness: float, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the targets for captions and pictures: equal shares for true pairs, and a softmax share over cosines."""
    pairs, read = list(zip(batch.pictures.tolist(), batch.captions.tolist(), strict=True)), sentences[batch.captions]
    true = np.array([[(picture, caption) in pairs for picture, _ in pairs] for _, caption in pairs])
    odds = np.exp((read @ read.T).double().numpy() / temperature)
    soft = softness * odds / odds.sum(1, keepdims=True)
    to_pictures, to_captions = ((1 - softness) * one / one.sum(1, keepdims=True) + soft for one in (true, true.T))
    return to_pictures, to_captions
