"""Pictures as a step sees them: decoded from the pack, or as the cached grids of a frozen CNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pixsearch.model.pixel_bert import PixelBertModel
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors
from pixsearch_trainer.batches.augmentation import Augmentation
from pixsearch_trainer.batches.draws import Pairs, PairsAt, mixed_seed
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.grids import GridStore, read_views

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """The pictures of a step: either pixels for the CNN, or grids."""

    pixels: list[Tensor] | None = None
    """Each [3, height, width], normalised."""
    grid: Tensor | None = None
    """[pictures, pixels, channels]."""
    pixel_mask: Tensor | None = None
    """[pictures, pixels], True where a pixel stands."""

    def grids(self, model: PixelBertModel) -> tuple[Tensor, Tensor]:
        """Return grids [pictures, pixels, channels] and their mask, through the CNN where there are pixels."""
        if self.pixels is not None:
            return model.encode_grids(self.pixels)
        assert self.grid is not None
        assert self.pixel_mask is not None
        device = model.semantic_embedding.device
        return self.grid.to(device), self.pixel_mask.to(device)


Source = Callable[[PairsAt, int], Iterator[Seen]]
"""Given the pairs of each step, what is seen from the n-th step on, without end."""


def cached_grids(plain: GridStore, mirrored: GridStore | None = None) -> Source:
    """Read the grids of a frozen CNN; `mirrored` are those of the mirrored pictures."""

    def source(pairs_at: PairsAt, first: int) -> Iterator[Seen]:
        def read(step: int) -> Seen:
            pairs = pairs_at(step)
            return Seen(None, *read_views(plain, mirrored, pairs.pictures.tolist(), pairs.mirrored.tolist()))

        return _one_ahead(read, first)

    return source


def packed_pixels(
    pictures: Sequence[CaptionedPicture],
    processor: PixelBertProcessor,
    augmentation: Augmentation | None = None,
    workers: int = 2,
    seed: int = 0,
) -> Source:
    """Decode the pictures of a pack, each time augmented otherwise.

    Args:
        workers: processes that decode; 0 decodes in this one.
    """

    def source(pairs_at: PairsAt, first: int) -> Iterator[Seen]:
        loader = DataLoader(
            _Packed(pictures, processor, augmentation),
            batch_sampler=_Items(pairs_at, first, seed),
            num_workers=workers,
            collate_fn=_collated,
            generator=torch.Generator(),  # else it draws a seed from the global one, and that at other moments
        )
        return (Seen(list(pixels)) for pixels in loader)

    return source


def _collated(pixels: list[Tensor]) -> Tensor | list[Tensor]:
    """One tensor where all have one shape: each tensor from a worker takes a file descriptor."""
    return torch.stack(pixels) if len({tensor.shape for tensor in pixels}) == 1 else pixels


@dataclass(frozen=True)
class _Item:
    place: int
    mirrored: bool
    seed: int


class _Packed(Dataset[Tensor]):
    def __init__(
        self, pictures: Sequence[CaptionedPicture], processor: PixelBertProcessor, augmentation: Augmentation | None
    ) -> None:
        self._files, self._processor = [picture.file for picture in pictures], processor
        self._augment = None if augmentation is None else augmentation.function()

    def __getitem__(self, item: _Item) -> Tensor:
        picture = open_packed(self._files[item.place], self._processor.config.input_size)
        if self._augment is not None:
            with torch.random.fork_rng([]):
                torch.manual_seed(item.seed)
                picture = self._augment(picture)
        return picture_tensors(self._processor, [mirror(picture) if item.mirrored else picture])[0]


class _Items:
    """The items of each step from a first one on, without end: what a DataLoader asks for its batches."""

    def __init__(self, pairs_at: PairsAt, first: int, seed: int) -> None:
        self._pairs_at, self._first, self._seed = pairs_at, first, seed

    def __iter__(self) -> Iterator[list[_Item]]:
        step = self._first
        while True:
            pairs: Pairs = self._pairs_at(step)
            drawn = zip(pairs.pictures.tolist(), pairs.mirrored.tolist(), strict=True)
            yield [_Item(place, mirrored, mixed_seed(self._seed, 2, step, place)) for place, mirrored in drawn]
            step += 1


def mirror(picture: Image.Image) -> Image.Image:
    """Return the picture as a mirror shows it."""
    return ImageOps.mirror(picture)


def _one_ahead(read: Callable[[int], T], first: int) -> Iterator[T]:
    """What `read` returns of each step from the first one on, read by a thread while the step before is trained."""
    with ThreadPoolExecutor(1) as thread:
        step, following = first, thread.submit(read, first)
        while True:
            result = following.result()
            step += 1
            following = thread.submit(read, step)
            yield result
