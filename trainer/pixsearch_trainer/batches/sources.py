"""Pictures as a step sees them, decoded from the pack or as a frozen CNN saw them, with a caption of each."""

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
class Seen:
    """The pictures of a step: pixels for the CNN, or what a frozen one made of them."""

    pixels: list[Tensor] | None = None
    """Each [3, height, width], normalised."""
    grid: Tensor | None = None
    """[pictures, pixels, channels]."""
    pixel_mask: Tensor | None = None
    """[pictures, pixels], True where a pixel stands."""
    pooled: Tensor | None = None
    """[pictures, 2 * channels]."""

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


@dataclass(frozen=True)
class PairBatch:
    """Pictures, a text that is true of each and one that is nearly so, on the training device."""

    pictures: Tensor
    """Indices in the data set [batch]; those of texts below likewise."""
    captions: Tensor
    near_misses: Tensor
    """-1 where a picture has none; its text is then empty."""
    ids: Tensor
    """The captions' words [batch, words]; no row where the stage reads no words. The three below likewise."""
    mask: Tensor
    near_ids: Tensor
    near_mask: Tensor
    seen: Seen
    names: list[str]
    """The pictures' files, for messages."""

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
    """Return batches of the pairs of each step, with the words of texts and near misses if they are to be read."""

    def batches(first: int) -> Iterator[PairBatch]:
        for step, seen in enumerate(source(pairs_at, first), first):
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
                seen=seen,
                names=[str(data.pictures[index].file) for index in pictures.tolist()],
            )

    return batches


def cached_grids(plain: GridStore, mirrored: GridStore | None = None) -> Source:
    """Read the grids of a frozen CNN, one step ahead; `mirrored` are those of the mirrored pictures."""

    def source(pairs_at: PairsAt, first: int) -> Iterator[Seen]:
        def read(step: int) -> Seen:
            pairs = pairs_at(step)
            return Seen(None, *read_views(plain, mirrored, pairs.pictures.tolist(), pairs.mirrored.tolist()))

        with ThreadPoolExecutor(1) as thread:
            yield from map_ahead(thread, read, count(first), ahead=1)

    return source


def pooled_grids(views: Tensor) -> Source:
    """Take pooled grids from memory: `views` [pictures, 2, 2 * channels] are of the plain and of the mirrored."""

    def source(pairs_at: PairsAt, first: int) -> Iterator[Seen]:
        for pairs in map(pairs_at, count(first)):
            yield Seen(pooled=views[pairs.pictures.to(views.device), pairs.mirrored.long().to(views.device)])

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
        def drawn() -> Iterator[list[_Item]]:
            for step in count(first):
                pairs = pairs_at(step)
                each = zip(pairs.pictures.tolist(), pairs.mirrored.tolist(), strict=True)
                yield [_Item(index, mirrored, mixed_seed(seed, 2, step, index)) for index, mirrored in each]

        loader = DataLoader(
            _Packed(pictures, processor, augmentation),
            batch_sampler=drawn(),  # any iterable will do
            num_workers=workers,
            multiprocessing_context=fork_server() if workers else None,
            collate_fn=_collated,
            generator=torch.Generator(),  # else it draws a seed from the global one, and that at other moments
        )
        return (Seen(list(pixels)) for pixels in loader)

    return source


@dataclass(frozen=True)
class Augmentation:
    """How far a picture may be changed, as if it had been cut otherwise, in another light."""

    smallest_crop: float = 0.5
    """Share of the picture's area that a crop keeps at least."""
    stretch: float = 1.3
    """How much longer one edge may become against the other."""
    light: float = 0.25
    """How far brightness, contrast and saturation may go from what they are."""

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Change a picture; torch's global generator decides how."""
        jitter = v2.ColorJitter(brightness=self.light, contrast=self.light, saturation=self.light)
        ratio = [edge * picture.width / picture.height for edge in (1 / self.stretch, self.stretch)]
        top, left, height, width = v2.RandomResizedCrop.get_params(picture, [self.smallest_crop, 1.0], ratio)
        augmented: Image.Image = jitter(picture.crop((left, top, left + width, top + height)))
        return augmented


def _collated(pixels: list[Tensor]) -> Tensor | list[Tensor]:
    """One tensor where all have one shape: each tensor from a worker takes a file descriptor."""
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
    """Return the picture as a mirror shows it."""
    return ImageOps.mirror(picture)
