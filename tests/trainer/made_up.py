"""Grids and batches made up for a test, and by numpy the loss of softmaxes both ways."""

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
from pixsearch_trainer.batches.sources import PairBatch, Seen
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.grids import GridStore

CHANNELS = 1280  # of the tiny checkpoint's CNN


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit_vectors(count: int, width: int, seed: int = 1) -> Tensor:
    return F.normalize(torch.randn(count, width, generator=chance(seed)), dim=1)


def pixels_of(packed: Sequence[CaptionedPicture]) -> Tensor:
    """Pictures [n, 3, 64, 64], by the mean and the deviation that EfficientNet-Lite was trained with."""
    pictures = [ZipFile(str(picture.file.parent)).read(picture.file.name) for picture in packed]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)), np.float32) for data in pictures])
    return torch.from_numpy((pixels - 127) / 128).permute(0, 3, 1, 2)


def store_of(grids: Iterable[Tensor]) -> GridStore:
    """Grids [pixels, channels] of any numbers of pixels, as they are cached."""
    grids = list(grids)
    packed = [pack_grid(grid.numpy()) for grid in grids]
    return GridStore(np.frombuffer(b"".join(packed), np.uint8), np.cumsum([0, *map(len, packed)]), grids[0].shape[1])


def batch_of(pictures: list[int], captions: list[int], pixels: int = 4) -> PairBatch:
    """Random grids; caption n is [CLS], a word of its own, one that all have, and [SEP]."""
    ids = torch.tensor([[101, 104 + caption, 150, 102] for caption in captions])
    seen = Seen(None, torch.rand(len(pictures), pixels, CHANNELS, generator=chance()), torch.ones(len(ids), pixels) > 0)
    return PairBatch(torch.tensor(pictures), torch.tensor(captions), ids, ids > 0, seen, [])


def padded(batch: PairBatch) -> PairBatch:
    """With a word more in each caption and two pixels more in each picture, all of which are to be passed over."""
    ids, mask = F.pad(batch.ids, (0, 1), value=151), F.pad(batch.mask, (0, 1))
    grid = torch.cat([grid_of(batch), 9 * torch.rand(len(batch), 2, CHANNELS, generator=chance(5))], dim=1)
    seen = Seen(None, grid, torch.arange(grid.shape[1]).expand(len(batch), -1) < grid.shape[1] - 2)
    return replace(batch, ids=ids, mask=mask, seen=seen)


def grid_of(batch: PairBatch) -> Tensor:
    assert batch.seen.grid is not None
    return batch.seen.grid


def both_ways(scores: Tensor, targets: NDArray[np.float64]) -> float:
    """Cross-entropy of the softmaxes over rows and over columns, of scores and of targets."""
    logits = scores.detach().double().numpy()
    directions = ((logits, targets), (logits.T, targets.T))
    found = [(wanted * (one - np.log(np.exp(one).sum(1, keepdims=True)))).sum(1).mean() for one, wanted in directions]
    return -float(np.mean(found))


def targets_of(batch: PairBatch, sentences: Tensor, softness: float, temperature: float) -> NDArray[np.float64]:
    """Equal shares for pairs with the same picture or caption, and a share by a softmax over captions' cosines."""
    pictures, captions, read = batch.pictures.numpy(), batch.captions.numpy(), sentences[batch.captions].double()
    same = (pictures[:, None] == pictures) | (captions[:, None] == captions)
    odds = np.exp((read @ read.T).numpy() / temperature)
    hard, soft = same / same.sum(1, keepdims=True), odds / odds.sum(1, keepdims=True)
    return np.asarray((1 - softness) * hard + softness * soft)
