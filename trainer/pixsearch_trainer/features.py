"""What a frozen CNN and a frozen sentence encoder say of a data set: computed once, trained on many times."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pixsearch.errors import DatasetError, PictureError
from pixsearch.model.devices import autocast
from pixsearch.model.grids import FORMAT, pack_grid, unpack_grids
from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch.pictures import open_picture
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.storage import Listings, resolved_bytes
from pixsearch_trainer.batches.augmentation import mirrored
from pixsearch_trainer.data.pairs import CaptionedPicture

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network

_PICTURES_A_BATCH = 32
_SENTENCES_A_BATCH = 256


class GridsTooLarge(DatasetError):
    """The grids of a data set would take more room on the disk than they may."""


@dataclass(frozen=True)
class GridStore:
    """The packed pixel grids of a data set, one after the other, on disk."""

    packed: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """Where each picture's bytes begin, and where the last one's end [pictures + 1]."""
    channels: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, places: slice) -> GridStore:
        """Some of the pictures that follow one another."""
        start, stop, _ = places.indices(len(self))
        return GridStore(self.packed, self.offsets[start : stop + 1], self.channels)

    def read(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Grids [len(places), pixels, channels], padded, and their pixel mask [len(places), pixels]."""
        return _unpacked([self[place] for place in places], self.channels)

    def __getitem__(self, place: int) -> bytes:
        """A picture's packed grid."""
        return self.packed[self.offsets[place] : self.offsets[place + 1]].tobytes()

    def pooled(self) -> Tensor:
        """Each grid pooled, [pictures, 2 * channels]."""
        return torch.cat([pool_grid(*self.read(places)) for places in _batches(len(self), 256)])


def read_views(stores: Sequence[GridStore], places: Sequence[int], views: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Grids of pictures as one of their views each, and the pixel mask, as of `GridStore.read`.

    Args:
        stores: the same pictures, one store a view.
        views: of each place, which store is read.
    """
    return _unpacked([stores[view][place] for place, view in zip(places, views, strict=True)], stores[0].channels)


def _unpacked(packed: Sequence[bytes], channels: int) -> tuple[Tensor, Tensor]:
    grids, mask = unpack_grids(packed, channels)
    return torch.from_numpy(grids), torch.from_numpy(mask)


def encode_grids(
    model: Network,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    cache: Path,
    on_progress: ProgressCallback,
    limit: float = math.inf,
    mirror: bool = False,
) -> GridStore:
    """Run the CNN over pictures; the result is kept in `cache` and read from there when nothing has changed.

    Args:
        limit: bytes that these grids may take on the disk.
        mirror: whether the CNN sees each picture as a mirror shows it.

    Raises:
        GridsTooLarge: they take more, as the first of them show.
        DatasetError: a picture cannot be decoded.
    """
    file = cache / f"grids-{_key(model, pictures, mirror)}.bin"
    offsets_file = file.with_suffix(".npy")
    if not offsets_file.exists():  # it is written last
        cache.mkdir(parents=True, exist_ok=True)
        offsets = [0]
        with file.open("wb") as out:
            for places, pixels in _decoded(processor, pictures, mirror):
                for packed in _packed_grids(model, pixels):
                    offsets.append(offsets[-1] + out.write(packed))
                if (expected := offsets[-1] / (len(offsets) - 1) * len(pictures)) > limit:
                    file.unlink()
                    raise GridsTooLarge(
                        f"the grids of {len(pictures):,} pictures take about {expected / 1e9:.1f} GB",
                        "Allow them with --cache-gb, or train on fewer pictures",
                    )
                on_progress(Progress("encoding pictures", places[-1] + 1, len(pictures)))
        unfinished = offsets_file.with_suffix(".tmp.npy")
        np.save(unfinished, np.array(offsets, np.int64))
        unfinished.replace(offsets_file)
    empty = np.zeros(0, np.uint8)
    mapped = np.memmap(file, np.uint8, "r") if pictures else empty  # an empty file cannot be mapped
    return GridStore(mapped, np.load(offsets_file), model.model.backbone.channels)


@torch.no_grad()
def _packed_grids(model: Network, pixels: Sequence[Tensor]) -> list[bytes]:
    device = next(model.parameters()).device
    with autocast(device):
        grids, mask = model.model.encode_grids(pixels)
    arrays = zip(grids.float().cpu().numpy(), mask.cpu().numpy(), strict=True)
    return [pack_grid(grid[here]) for grid, here in arrays]


@torch.no_grad()
def encode_sentences(
    model: PixelBertForRetrieval, processor: PixelBertProcessor, sentences: Sequence[str], on_progress: ProgressCallback
) -> Tensor:
    """Each sentence as the Transformer reads it alone: unit vectors [sentences, width], on the CPU."""
    device = next(model.parameters()).device
    # By length, so that a batch has little padding.
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
    read = torch.zeros(len(sentences), model.config.width)
    for batch in _batches(len(sentences), _SENTENCES_A_BATCH):
        places = [order[number] for number in batch]
        ids, mask = word_tensors(processor, [sentences[place] for place in places])
        with autocast(device):
            words = model.read_words(ids.to(device), mask.to(device))
        read[places] = torch.nn.functional.normalize(words.float(), dim=-1).cpu()
        on_progress(Progress("reading captions", batch[-1] + 1, len(sentences)))
    return read


@torch.no_grad()
def read_grids(model: PixelBertForRetrieval, grids: GridStore) -> Tensor:
    """Each picture's pixels as the Transformer reads them alone, [pictures, width], on the model's device."""
    device = next(model.parameters()).device
    read = []
    for places in _batches(len(grids), _PICTURES_A_BATCH):
        grid, mask = grids.read(places)
        with autocast(device):
            read.append(model.read_pixels(grid.to(device), pixel_mask=mask.to(device)).float())
    return torch.cat(read)


def decode(picture: CaptionedPicture, edge: int) -> Image.Image:
    """A training picture, RGB and upright. Raises DatasetError when it cannot be read."""
    try:
        return open_picture(picture.file, min_edge=edge)
    except PictureError as error:
        raise DatasetError(
            f"{picture.file}: {error.message}", "Mend the file or take it out of the data set"
        ) from error


def _decoded(
    processor: PixelBertProcessor, pictures: Sequence[CaptionedPicture], mirror: bool
) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Batches of (places, pixels), decoded by a thread that is one batch ahead."""
    edge = processor.config.input_size

    def load(places: list[int]) -> list[Tensor]:
        decoded = [decode(pictures[place], edge) for place in places]
        return picture_tensors(processor, [mirrored(picture) for picture in decoded] if mirror else decoded)

    batches = _batches(len(pictures), _PICTURES_A_BATCH)
    if not batches:
        return
    with ThreadPoolExecutor(max_workers=1) as ahead:
        following = ahead.submit(load, batches[0])
        for number, places in enumerate(batches):
            pixels = following.result()
            if number + 1 < len(batches):
                following = ahead.submit(load, batches[number + 1])
            yield places, pixels


def _batches(count: int, size: int) -> list[list[int]]:
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def _key(model: Network, pictures: Sequence[CaptionedPicture], mirror: bool) -> str:
    """Changes with the CNN and its weights, the size of its input, the pictures (path, size, time) and their view."""
    config = model.config
    shape = (FORMAT, config.backbone, config.input_size, config.longest_edge, config.resize, config.pool, mirror)
    digest = hashlib.sha256(repr(shape).encode())
    for tensor in model.model.backbone.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    there = Listings()
    for picture in pictures:
        if (stamp := there.stamp(picture.file)) is None:
            raise DatasetError(f"{picture.file} is not there any more", "Begin again, with the data as it is now")
        digest.update(resolved_bytes(picture.file) + f"\0{stamp.size_bytes}\0{stamp.mtime_ns}\0".encode())
    return digest.hexdigest()[:24]
