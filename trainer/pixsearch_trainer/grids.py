"""Encode pictures and sentences with frozen parts of a network once, for use in many training steps."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import ImageOps
from torch import Tensor

from pixsearch.durable import new_file
from pixsearch.model.devices import autocast
from pixsearch.model.grids import FORMAT, pack_grid, unpack_grids
from pixsearch.model.networks import Network
from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.regular_files import open_regular
from pixsearch.storage import stamp_of
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture

T = TypeVar("T")
R = TypeVar("R")

_PICTURES_A_BATCH = 32
_SENTENCES_A_BATCH = 256


@dataclass(frozen=True)
class GridStore:
    """The packed pixel grids of a data set, concatenated in one file."""

    packed: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """The offset of each picture in `packed`, followed by the end of the last picture [pictures + 1]."""
    channels: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        """Return the packed grid of a picture."""
        return self.packed[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def read(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return padded grids [len(indices), pixels, channels] and their pixel mask [len(indices), pixels]."""
        return _unpacked([self[index] for index in indices], self.channels)

    def pooled(self) -> Tensor:
        """Return the pooled grids of all pictures [pictures, 2 * channels]."""
        return torch.cat([pool_grid(*self.read(indices)) for indices in _batches(len(self), 256)])


def read_views(
    plain: GridStore, mirrored: GridStore | None, indices: Sequence[int], views: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    """Read grids like `GridStore.read`. Where `views` is True, read the grid of the mirrored picture."""
    stores = [mirrored if view and mirrored is not None else plain for view in views]
    return _unpacked([store[index] for store, index in zip(stores, indices, strict=True)], plain.channels)


def _unpacked(packed: Sequence[bytes], channels: int) -> tuple[Tensor, Tensor]:
    grids, mask = unpack_grids(packed, channels)
    return torch.from_numpy(grids), torch.from_numpy(mask)


def encode_grids(
    network: Network,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    cache: Path,
    name: str,
    on_progress: ProgressCallback,
    mirrored: bool = False,
) -> GridStore:
    """Run the CNN on packed pictures, or read the result from the cache if nothing has changed.

    Args:
        cache: the cache folder.
        name: the name of these pictures in the cache. Only the grids of the latest CNN are kept per name.

    Raises:
        DatasetError: the pack is damaged.
    """
    name = f"{name}-mirrored" if mirrored else name
    file = cache / f"{name}-{_key(network, pictures)}.bin"
    offsets_file = file.with_suffix(".npy")
    if not offsets_file.exists():  # the offsets are written last
        cache.mkdir(parents=True, exist_ok=True)
        for stale in (*cache.glob(f"{name}-????????????????.bin"), *cache.glob(f"{name}-????????????????.npy")):
            stale.unlink()
        offsets = [0]
        with new_file(file) as out:
            for packed in _encoded(network, processor, pictures, mirrored):
                offsets.append(offsets[-1] + out.write(packed))
                on_progress(Progress("encoding pictures", len(offsets) - 1, len(pictures)))
        with new_file(offsets_file) as out:
            np.save(out, np.array(offsets, np.int64))
    with open_regular(file) as grids, open_regular(offsets_file) as saved:
        empty = np.zeros(0, np.uint8)
        mapped = np.memmap(grids, np.uint8, "r") if pictures else empty  # an empty file cannot be mapped
        return GridStore(mapped, np.load(saved), network.model.backbone.channels)


@torch.no_grad()
def _encoded(
    network: Network, processor: PixelBertProcessor, pictures: Sequence[CaptionedPicture], mirrored: bool
) -> Iterator[bytes]:
    """Yield the packed grid of each picture. Threads decode and pack, because a single one is slower than a GPU."""
    device, model = network.model.semantic_embedding.device, network.model
    edge = processor.config.input_size

    def load(picture: CaptionedPicture) -> Tensor:
        decoded = open_packed(picture.file, edge)
        return picture_tensors(processor, [ImageOps.mirror(decoded) if mirrored else decoded])[0]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as threads:
        loaded = map_ahead(threads, load, pictures, ahead=2 * _PICTURES_A_BATCH)

        def grids() -> Iterator[NDArray[np.float32]]:
            while pixels := list(islice(loaded, _PICTURES_A_BATCH)):
                with autocast(device):
                    padded, mask = model.encode_grids(pixels)
                arrays = zip(padded.float().cpu().numpy(), mask.cpu().numpy(), strict=True)
                yield from (grid[here] for grid, here in arrays)

        yield from map_ahead(threads, pack_grid, grids(), ahead=_PICTURES_A_BATCH)


def map_ahead(threads: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """Call a function on each item in threads, working up to `ahead` items ahead. Yield the results in order."""
    waiting = deque[Future[R]]()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    yield from (future.result() for future in waiting)


@torch.no_grad()
def encode_sentences(
    network: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    sentences: Sequence[str],
    on_progress: ProgressCallback,
) -> Tensor:
    """Encode sentences with the text stream. Return unit vectors [sentences, width] on the network's device."""
    device = network.model.semantic_embedding.device

    def read(batch: Sequence[str]) -> Tensor:
        ids, mask = word_tensors(processor, batch)
        with autocast(device):
            words = network.read_words(ids.to(device), mask.to(device))
        return F.normalize(words.float(), dim=-1)

    return embed_by_length(sentences, read, "encoding captions", on_progress)


def embed_by_length(
    sentences: Sequence[str], embed: Callable[[Sequence[str]], Tensor], task: str, on_progress: ProgressCallback
) -> Tensor:
    """Embed sentences in batches of similar length, to reduce padding. Return [sentences, width] in the given order."""
    order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
    parts = []
    for batch in _batches(len(sentences), _SENTENCES_A_BATCH):
        parts.append(embed([sentences[order[number]] for number in batch]))
        on_progress(Progress(task, batch[-1] + 1, len(sentences)))
    return torch.cat(parts)[torch.tensor(order).argsort()]


def _batches(count: int, size: int) -> list[list[int]]:
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _key(network: Network, pictures: Sequence[CaptionedPicture]) -> str:
    """Return a key that changes with the CNN, its weights and input settings, the pictures, and their packs."""
    config = network.config
    shape = (FORMAT, config.backbone, config.input_size, config.longest_edge, config.resize, config.pool)
    packs = {str(picture.file.parent): stamp_of(picture.file.parent) for picture in pictures}
    digest = hashlib.sha256(repr((shape, packs, [str(picture.file) for picture in pictures])).encode())
    for tensor in network.model.backbone.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
