"""What a frozen CNN sees in the pictures, and a frozen text stream in the captions: computed once, trained on often."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import ImageOps
from torch import Tensor

from pixsearch.model.devices import autocast
from pixsearch.model.grids import FORMAT, pack_grid, unpack_grids
from pixsearch.model.networks import Network
from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.storage import stamp_of
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture

_PICTURES_A_BATCH = 32
_SENTENCES_A_BATCH = 256


@dataclass(frozen=True)
class GridStore:
    """The packed pixel grids of a data set, one after the other, on disk."""

    packed: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """Where each picture's bytes begin, and where those of the last one end [pictures + 1]."""
    channels: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> bytes:
        """Return a picture's packed grid."""
        return self.packed[self.offsets[place] : self.offsets[place + 1]].tobytes()

    def read(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return grids [len(places), pixels, channels], padded, and their pixel mask [len(places), pixels]."""
        return _unpacked([self[place] for place in places], self.channels)

    def pooled(self) -> Tensor:
        """Return each grid pooled, [pictures, 2 * channels]."""
        return torch.cat([pool_grid(*self.read(places)) for places in _batches(len(self), 256)])


def read_views(
    plain: GridStore, mirrored: GridStore | None, places: Sequence[int], views: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    """Read as `GridStore.read` does, each picture plain or, where its view is True, mirrored."""
    stores = [mirrored if view and mirrored is not None else plain for view in views]
    return _unpacked([store[place] for store, place in zip(stores, places, strict=True)], plain.channels)


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
    """Run the CNN over packed pictures; the result is kept in `cache`, and read from there while nothing has changed.

    Args:
        name: of these pictures in the cache, which holds one CNN's grids of them.

    Raises:
        DatasetError: the pack is damaged.
    """
    name = f"{name}-mirrored" if mirrored else name
    file = cache / f"{name}-{_key(network, pictures)}.bin"
    offsets_file = file.with_suffix(".npy")
    if not offsets_file.exists():  # it is written last
        cache.mkdir(parents=True, exist_ok=True)
        for stale in (*cache.glob(f"{name}-????????????????.bin"), *cache.glob(f"{name}-????????????????.npy")):
            stale.unlink()
        offsets = [0]
        with file.open("wb") as out:
            for packed in _encoded(network, processor, pictures, mirrored):
                offsets.append(offsets[-1] + out.write(packed))
                on_progress(Progress("encoding pictures", len(offsets) - 1, len(pictures)))
        unfinished = offsets_file.with_name(f"{offsets_file.name}.tmp.npy")
        np.save(unfinished, np.array(offsets, np.int64))
        unfinished.replace(offsets_file)
    empty = np.zeros(0, np.uint8)
    mapped = np.memmap(file, np.uint8, "r") if pictures else empty  # an empty file cannot be mapped
    return GridStore(mapped, np.load(offsets_file), network.model.backbone.channels)


@torch.no_grad()
def _encoded(
    network: Network, processor: PixelBertProcessor, pictures: Sequence[CaptionedPicture], mirrored: bool
) -> Iterator[bytes]:
    """Each picture's packed grid; threads decode and pack, for the CNN is faster than one of them on a GPU."""
    device, model = network.model.semantic_embedding.device, network.model
    edge = processor.config.input_size

    def load(picture: CaptionedPicture) -> Tensor:
        decoded = open_packed(picture.file, edge)
        return picture_tensors(processor, [ImageOps.mirror(decoded) if mirrored else decoded])[0]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2) as threads:
        batches = [pictures[start : start + _PICTURES_A_BATCH] for start in range(0, len(pictures), _PICTURES_A_BATCH)]
        loading = [[threads.submit(load, picture) for picture in batch] for batch in batches[:2]]
        packing: list[Future[bytes]] = []
        for number in range(len(batches)):
            pixels = [future.result() for future in loading[number]]
            loading[number] = []
            if number + 2 < len(batches):
                loading.append([threads.submit(load, picture) for picture in batches[number + 2]])
            with autocast(device):
                grids, mask = model.encode_grids(pixels)
            yield from (future.result() for future in packing)
            arrays = zip(grids.float().cpu().numpy(), mask.cpu().numpy(), strict=True)
            packing = [threads.submit(pack_grid, grid[here]) for grid, here in arrays]
        yield from (future.result() for future in packing)


@torch.no_grad()
def encode_sentences(
    network: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    sentences: Sequence[str],
    on_progress: ProgressCallback,
) -> Tensor:
    """Return each sentence as the text stream reads it: unit vectors [sentences, width], on the network's device."""
    device = network.model.semantic_embedding.device
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))  # so that a batch has little padding
    read = torch.zeros(len(sentences), network.config.width, device=device)
    for batch in _batches(len(sentences), _SENTENCES_A_BATCH):
        places = [order[number] for number in batch]
        ids, mask = word_tensors(processor, [sentences[place] for place in places])
        with autocast(device):
            words = network.read_words(ids.to(device), mask.to(device))
        read[places] = F.normalize(words.float(), dim=-1)
        on_progress(Progress("reading captions", batch[-1] + 1, len(sentences)))
    return read


def _batches(count: int, size: int) -> list[list[int]]:
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _key(network: Network, pictures: Sequence[CaptionedPicture]) -> str:
    """Changes with the CNN and its weights, the size of its input, and the pictures or their pack."""
    config = network.config
    shape = (FORMAT, config.backbone, config.input_size, config.longest_edge, config.resize, config.pool)
    packs = {str(picture.file.parent): stamp_of(picture.file.parent) for picture in pictures}
    digest = hashlib.sha256(repr((shape, packs, [str(picture.file) for picture in pictures])).encode())
    for tensor in network.model.backbone.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
