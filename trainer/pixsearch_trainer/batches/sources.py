"""Load the pictures and texts for a step. Pictures are decoded pixels, or grids from a frozen CNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401

from torchvision.transforms import v2  # isort: skip

from pixsearch.fork_server import fork_server
from pixsearch.model.pixel_bert import PixelBertModel
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch_trainer.batches.draws import CaptionedSet, PairsAt, mixed_seed
from pixsearch_trainer.data.pack import open_packed
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.grids import GridStore, map_ahead, read_views
from pixsearch_trainer.run.stage import Batches


@dataclass(frozen=True)
class PictureInputs:
    """The pictures for a step, as pixels for the CNN, or as grids or pooled grids from a frozen CNN."""

    pixels: list[Tensor] | None = None
    """Normalised pixels, each [3, height, width]."""
    grid: Tensor | None = None
    """Padded grids [pictures, pixels, channels]."""
    pixel_mask: Tensor | None = None
    """The mask of the grids [pictures, pixels], False for padding."""
    pooled: Tensor | None = None
    """Pooled grids [pictures, 2 * channels]."""

    def grids(self, model: PixelBertModel) -> tuple[Tensor, Tensor]:
        """Return grids [pictures, pixels, channels] and their mask. If there are pixels, run the CNN."""
        if self.pixels is not None:
            return model.encode_grids(self.pixels)
        assert self.grid is not None
        assert self.pixel_mask is not None
        device = model.semantic_embedding.device
        return self.grid.to(device), self.pixel_mask.to(device)


Source = Callable[[PairsAt, int], Iterator[PictureInputs]]
"""A function that yields the pictures for the pairs of each step endlessly, starting at the given step."""


@dataclass(frozen=True)
class PairBatch:
    """A batch of pictures, each with a true text and a near miss, on the training device."""

    pictures: Tensor
    """The indices of the pictures in the data set [batch]."""
    captions: Tensor
    """The indices of the true texts in the data set [batch]."""
    near_misses: Tensor
    """The indices of the near misses in the data set [batch]; -1, and an empty text, for pictures without one."""
    ids: Tensor
    """The word ids of the captions [batch, words]. Without words, this and the next three fields have no rows."""
    mask: Tensor
    near_ids: Tensor
    near_mask: Tensor
    inputs: PictureInputs
    names: list[str]
    """The files of the pictures, for messages."""

    def __len__(self) -> int:
        return len(self.pictures)


def pair_batches(
    data: CaptionedSet,
    pairs_at: PairsAt,
    source: Source,
    processor: PixelBertProcessor,
    device: torch.device,
    words: bool = True,
) -> Batches:
    """Return a function that yields batches. They include the words of texts and near misses if `words` is True."""

    def batches(first: int) -> Iterator[PairBatch]:
        for step, inputs in enumerate(source(pairs_at, first), first):
            pairs = pairs_at(step)
            pictures, captions, near_misses = pairs.pictures, pairs.captions, pairs.near_misses
            read, near = (data.texts_at(texts) if words else [] for texts in (captions, near_misses))
            ids, mask, near_ids, near_mask = (*word_tensors(processor, read), *word_tensors(processor, near))
            yield PairBatch(
                pictures=pictures.to(device),
                captions=captions.to(device),
                near_misses=near_misses.to(device),
                ids=ids.to(device),
                mask=mask.to(device),
                near_ids=near_ids.to(device),
                near_mask=near_mask.to(device),
                inputs=inputs,
                names=[str(data.pictures[index].file) for index in pictures.tolist()],
            )

    return batches


def cached_grids(plain: GridStore, mirrored: GridStore | None = None) -> Source:
    """Return a source that reads grids from a frozen CNN, one step ahead."""

    def source(pairs_at: PairsAt, first: int) -> Iterator[PictureInputs]:
        def read(step: int) -> PictureInputs:
            pairs = pairs_at(step)
            return PictureInputs(None, *read_views(plain, mirrored, pairs.pictures.tolist(), pairs.mirrored.tolist()))

        with ThreadPoolExecutor(1) as thread:
            yield from map_ahead(thread, read, count(first), ahead=1)

    return source


def pooled_grids(views: Tensor) -> Source:
    """Return a source of pooled grids in memory, plain and mirrored [pictures, 2, 2 * channels]."""

    def source(pairs_at: PairsAt, first: int) -> Iterator[PictureInputs]:
        for pairs in map(pairs_at, count(first)):
            yield PictureInputs(pooled=views[pairs.pictures.to(views.device), pairs.mirrored.long().to(views.device)])

    return source


def packed_pixels(
    pictures: Sequence[CaptionedPicture],
    processor: PixelBertProcessor,
    augmentation: Augmentation | None = None,
    workers: int = 2,
    seed: int = 0,
) -> Source:
    """Return a source that decodes packed pictures, with a different augmentation each time.

    Args:
        workers: the number of processes that decode pictures; 0 to decode in this process.
    """

    def source(pairs_at: PairsAt, first: int) -> Iterator[PictureInputs]:
        def drawn() -> Iterator[list[_Item]]:
            for step in count(first):
                pairs = pairs_at(step)
                each = zip(pairs.pictures.tolist(), pairs.mirrored.tolist(), strict=True)
                yield [_Item(index, mirrored, mixed_seed(seed, 2, step, index)) for index, mirrored in each]

        loader = DataLoader(
            _Packed(pictures, processor, augmentation),
            batch_sampler=drawn(),  # any iterable works
            num_workers=workers,
            multiprocessing_context=fork_server() if workers else None,
            collate_fn=_collated,
            # Otherwise, the loader would draw seeds from the global generator, at unpredictable times.
            generator=torch.Generator(),
        )
        return (PictureInputs(list(pixels)) for pixels in loader)

    return source


@dataclass(frozen=True)
class Augmentation:
    """Random cropping, stretching and colour changes of a picture, within these limits."""

    smallest_crop: float = 0.5
    """The minimum share of the picture's area that a crop keeps."""
    stretch: float = 1.3
    """The maximum factor by which one edge is stretched relative to the other."""
    light: float = 0.25
    """The maximum relative change in brightness, contrast and saturation."""

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Return a randomly changed copy of a picture, using torch's global generator."""
        jitter = v2.ColorJitter(brightness=self.light, contrast=self.light, saturation=self.light)
        ratio = [edge * picture.width / picture.height for edge in (1 / self.stretch, self.stretch)]
        top, left, height, width = v2.RandomResizedCrop.get_params(picture, [self.smallest_crop, 1.0], ratio)
        augmented: Image.Image = jitter(picture.crop((left, top, left + width, top + height)))
        return augmented


def _collated(pixels: list[Tensor]) -> Tensor | list[Tensor]:
    """Stack tensors of equal shape, because each tensor from a worker process uses a file descriptor."""
    return torch.stack(pixels) if len({tensor.shape for tensor in pixels}) == 1 else pixels


class _Item(NamedTuple):
    picture: int
    mirrored: bool
    seed: int


@dataclass(frozen=True)
class _Packed(Dataset[Tensor]):
    pictures: Sequence[CaptionedPicture]
    processor: PixelBertProcessor
    augmentation: Augmentation | None

    def __getitem__(self, item: _Item) -> Tensor:
        picture = open_packed(self.pictures[item.picture].file, self.processor.config.input_size)
        if self.augmentation is not None:
            with torch.random.fork_rng([]):
                torch.manual_seed(item.seed)
                picture = self.augmentation(picture)
        return picture_tensors(self.processor, [mirror(picture) if item.mirrored else picture])[0]


def mirror(picture: Image.Image) -> Image.Image:
    """Return the picture flipped horizontally."""
    return ImageOps.mirror(picture)
