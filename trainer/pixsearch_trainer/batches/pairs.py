"""Batches of pictures with a caption each, from files or from the cache of a frozen CNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pixsearch.errors import DatasetError
from pixsearch.model.pixel_bert import PixelBertModel
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors, word_tensors
from pixsearch_trainer.batches.augmentation import augmentation, mirrored, mirrored_caption
from pixsearch_trainer.batches.draws import Draws, InOrder, generator_of, mixed_seed
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.features import GridStore, decode


@dataclass(frozen=True)
class PairBatch:
    """Pictures and one caption of each, on the training device but for the pixels of files."""

    pictures: Tensor
    """Places in the data set [batch]."""
    captions: Tensor
    """Places of their captions [batch]; two that are equal are the same sentence."""
    ids: Tensor
    """[batch, words]."""
    mask: Tensor
    """[batch, words]."""
    pixels: list[Tensor] | None
    """Each [3, height, width], normalised; None where the grids are known."""
    grid: Tensor | None
    """[batch, pixels, channels]."""
    pixel_mask: Tensor | None
    """[batch, pixels]."""
    names: list[str]
    """The pictures' files, for messages."""
    other_ids: Tensor | None = None
    """Captions of other pictures [batch, others, words], where an objective wants them."""
    other_mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pictures)


def grids_of(model: PixelBertModel, batch: PairBatch) -> tuple[Tensor, Tensor]:
    """The batch's grids [batch, pixels, channels] and pixel mask, from the cache or through the CNN."""
    if batch.pixels is not None:
        return model.encode_grids(batch.pixels)
    assert batch.grid is not None
    assert batch.pixel_mask is not None
    return batch.grid, batch.pixel_mask


@dataclass(frozen=True)
class _Item:
    """What a worker is to decode."""

    place: int
    seed: int
    mirror: bool


class _Files(Dataset[Tensor | DatasetError]):
    """Decodes pictures; an error is given back rather than raised, so that it keeps its words across processes."""

    def __init__(self, pictures: Sequence[CaptionedPicture], processor: PixelBertProcessor, augment: bool) -> None:
        self._pictures, self._processor = pictures, processor
        self._augment = augmentation() if augment else None

    def __getitem__(self, item: _Item) -> Tensor | DatasetError:
        try:
            picture = decode(self._pictures[item.place], self._processor.config.input_size)
        except DatasetError as error:
            return error
        if self._augment is not None:
            with torch.random.fork_rng([]):
                torch.manual_seed(item.seed)
                picture = self._augment(picture)
        return picture_tensors(self._processor, [mirrored(picture) if item.mirror else picture])[0]


class _Items:
    """The items of each step from a first one on, without end: what a DataLoader asks for its batches."""

    def __init__(self, of_step: Callable[[int], list[_Item]], first: int) -> None:
        self._of_step, self._first = of_step, first

    def __iter__(self) -> Iterator[list[_Item]]:
        step = self._first
        while True:
            yield self._of_step(step)
            step += 1


class PairBatches:
    """The batches of a training set; which pictures, captions and views a step has depends on seed and step alone."""

    def __init__(
        self,
        pictures: Sequence[CaptionedPicture],
        captions: Captions,
        processor: PixelBertProcessor,
        draws: Draws | InOrder,
        device: torch.device,
        seed: int,
        grids: GridStore | None = None,
        augment: bool = False,
        others: int = 0,
        workers: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        """Args:
        captions: of the pictures, in their order.
        grids: of the pictures, where the CNN is frozen and nothing is augmented; else files are decoded.
        others: captions of other pictures that come along with each pair (the paper's 20 negatives).
        workers: processes that decode; 0 is this one.
        rank, processes: each process gets its share of a step's draws.
        """
        self._pictures, self._captions, self._processor = pictures, captions, processor
        self._draws, self._device, self._seed = draws, device, seed
        self._grids, self._augment, self._others, self._workers = grids, augment, others, workers
        self._rank, self._processes = rank, processes

    @property
    def steps_an_epoch(self) -> int:
        return self._draws.steps_an_epoch

    def __call__(self, first: int) -> Iterator[PairBatch]:
        """Batches from step `first` on, without end.

        Raises DatasetError when a picture cannot be decoded.
        """
        if self._grids is not None:
            step = first
            while True:
                places = self._drawn(step)
                grid, pixel_mask = self._grids.read(places.tolist())
                yield self._batch(step, places, None, grid.to(self._device), pixel_mask.to(self._device))
                step += 1
        loader = DataLoader(
            _Files(self._pictures, self._processor, self._augment),
            batch_sampler=_Items(self._items, first),
            num_workers=self._workers,
            collate_fn=list,
            persistent_workers=False,
            generator=torch.Generator(),  # else it draws a seed from the global one, and that at other moments
        )
        for step, decoded in enumerate(loader, start=first):
            for error in decoded:
                if isinstance(error, DatasetError):
                    raise error
            yield self._batch(step, self._drawn(step), decoded, None, None)

    def _share(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self._processes)[self._rank]

    def _drawn(self, step: int) -> Tensor:
        return self._share(self._draws.at(step))

    def _mirrored(self, step: int) -> list[bool]:
        coin = torch.rand(len(self._draws.at(step)), generator=generator_of(self._seed, 1, step))
        mirror: list[bool] = (self._share(coin) < (0.5 if self._augment else 0.0)).tolist()
        return mirror

    def _items(self, step: int) -> list[_Item]:
        places = self._drawn(step).tolist()
        seeds = (mixed_seed(self._seed, 2, step, place) for place in places)
        return [_Item(*item) for item in zip(places, seeds, self._mirrored(step), strict=True)]

    def _batch(
        self,
        step: int,
        places: Tensor,
        pixels: list[Tensor] | None,
        grid: Tensor | None,
        pixel_mask: Tensor | None,
    ) -> PairBatch:
        chosen = torch.rand(len(self._draws.at(step)), generator=generator_of(self._seed, 3, step))
        captions = [
            self._captions.of_picture[place][int(share * len(self._captions.of_picture[place]))]
            for place, share in zip(places.tolist(), self._share(chosen).tolist(), strict=True)
        ]
        sentences = [
            mirrored_caption(self._captions.sentences[caption]) if mirror else self._captions.sentences[caption]
            for caption, mirror in zip(captions, self._mirrored(step), strict=True)
        ]
        ids, mask = word_tensors(self._processor, sentences)
        other_ids = other_mask = None
        if self._others:
            other_ids, other_mask = self._other_words(step, places)
        return PairBatch(
            places.to(self._device),
            torch.tensor(captions, device=self._device),
            ids.to(self._device),
            mask.to(self._device),
            pixels,
            grid,
            pixel_mask,
            [str(self._pictures[place].file) for place in places.tolist()],
            other_ids,
            other_mask,
        )

    def _other_words(self, step: int, places: Tensor) -> tuple[Tensor, Tensor]:
        """`others` captions for each place, at random, none of them its own."""
        chosen = []
        for place in places.tolist():
            generator = generator_of(self._seed, 4, step, place)
            own = set(self._captions.of_picture[place])
            if len(own) == len(self._captions.sentences):
                raise DatasetError("every picture has every caption", "Give data with different captions")
            drawn: list[int] = []
            while len(drawn) < self._others:
                [caption] = torch.randint(len(self._captions.sentences), (1,), generator=generator).tolist()
                if caption not in own:
                    drawn.append(caption)
            chosen += drawn
        ids, mask = word_tensors(self._processor, [self._captions.sentences[caption] for caption in chosen])
        shape = (len(places), self._others, -1)
        return ids.view(shape).to(self._device), mask.view(shape).to(self._device)
