"""What the stages of a recipe are built from: the run, its data, and what a frozen network sees in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixsearch.errors import DatasetError
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval, PixelBertModel
from pixsearch_trainer.batches.augmentation import Augmentation
from pixsearch_trainer.batches.draws import CaptionedSet, Draws
from pixsearch_trainer.batches.pairs import pair_batches, pairs_by_weight
from pixsearch_trainer.batches.sources import Source, cached_grids, packed_pixels
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.vqa import Question
from pixsearch_trainer.grids import GridStore, encode_grids, encode_sentences
from pixsearch_trainer.judging import ValStreams, judge_match, judge_streams
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.stage import Batches, Judge, StageOptions

VAL_PICTURES = 500
"""Pictures of val that a look measures at most; `pixsearch evaluate` takes all."""
_SAMPLE = 1000  # pictures that statistics are taken from


@dataclass
class Material:
    """The run and its pictures, all of them packed."""

    run: Run
    items: Sequence[Any]
    """Of the splits train and val: `CaptionedPicture`s, or `Question`s or `Statement`s, by the task."""
    workers: int
    teacher: TeacherEmbeddings | None = None
    """Of the training pictures, in their order, and of their captions."""

    def __post_init__(self) -> None:
        pictures = as_pictures(self.items)
        self.val, training = of_split(pictures, "val")[:VAL_PICTURES], of_split(pictures, "train")
        if len(training) < (least := max(2, self.run.accelerator.num_processes)):  # one for each process
            raise DatasetError(
                f"{len(training)} captioned pictures are too few", f"Provide {least} or more in the split train"
            )
        self.training = CaptionedSet(training, self.run.seed)

    @property
    def network(self) -> PixelBertForRetrieval:
        assert isinstance(self.run.network, PixelBertForRetrieval)
        return self.run.network

    @property
    def place(self) -> dict[str, int]:
        """Which process this is, and of how many, as functions that draw batches take it."""
        accelerator = self.run.accelerator
        return {"rank": accelerator.process_index, "processes": accelerator.num_processes}

    def draws(self, options: StageOptions) -> Draws:
        """Draw pictures by weight, a batch for each process."""
        processes = self.run.accelerator.num_processes
        return Draws(self.training.weights, options.batch * processes, self.run.seed, processes)

    def pair_batches(self, options: StageOptions, source: Source, *, mirror: bool) -> Batches:
        """Batches of training pictures drawn by weight, with a caption each."""
        pairs_at = pairs_by_weight(self.training, self.draws(options), mirror=mirror, **self.place)
        return pair_batches(self.training, pairs_at, source, self.run.processor, self.run.device)

    def pixels(self, pictures: Sequence[CaptionedPicture], augmentation: Augmentation | None) -> Source:
        """Pictures, decoded for each step."""
        return packed_pixels(pictures, self.run.processor, augmentation, self.workers, self.run.seed)

    def views(self) -> tuple[GridStore, GridStore]:
        """What the CNN, as it is now, sees in the training pictures: plain and mirrored."""
        pictures = self.training.pictures
        return self.grids(pictures, "train"), self.grids(pictures, "train", mirrored=True)

    def sample(self) -> GridStore:
        """What the CNN sees in some of the training pictures."""
        generator = torch.Generator().manual_seed(self.run.seed)
        chosen = torch.randperm(len(self.training), generator=generator)[:_SAMPLE].tolist()
        return self.grids([self.training.pictures[place] for place in chosen], "sample")

    def cached(self) -> Source:
        """The training pictures as `views`."""
        return cached_grids(*self.views())

    def sentences(self) -> Tensor:
        """All training captions as the text stream reads them now, unit vectors [captions, width]."""
        run = self.run
        self.network.eval()
        return encode_sentences(self.network, run.processor, self.training.captions.sentences, run.on_progress)

    def judge_streams(self) -> Judge | None:
        """None where there is no val."""
        return judge_streams(self._val_streams) if self.val else None

    def judge_match(self) -> Judge | None:
        """None where there is no val."""
        return judge_match(self._val_streams, self.run.processor) if self.val else None

    def _val_streams(self) -> ValStreams:
        return ValStreams(self.network, self.run.processor, self.val, self.grids(self.val, "val", alone=True))

    def grids(
        self, pictures: Sequence[CaptionedPicture], name: str, *, mirrored: bool = False, alone: bool = False
    ) -> GridStore:
        """From the cache, see `encode_grids`. One process encodes, and the others, unless it is `alone`, read that."""
        run = self.run

        def encode() -> GridStore:
            return encode_grids(run.network, run.processor, pictures, run.folder.cache, name, run.on_progress, mirrored)

        if alone:
            return encode()
        with run.accelerator.main_process_first():
            return encode()


def steps_of(options: StageOptions, draws: Draws) -> int:
    """The steps of a stage, given or by epochs."""
    return options.steps if options.steps is not None else max(1, round(options.epochs * draws.steps_an_epoch))


def fit_missing_statistics(material: Material) -> None:
    """Standardise what the maps and the Transformer take of the CNN, in a network that starts from parts."""
    for part in (material.network.maps, material.network.model):
        if not part.standardise.fitted:
            fit_statistics(part, material.sample())


def fit_statistics(part: PixelBertModel | EmbeddingMaps, grids: GridStore) -> None:
    """Standardise what a part of the network takes by the statistics of these pictures."""
    if isinstance(part, EmbeddingMaps):
        features = grids.pooled()
    else:
        grid, pixel_mask = grids.read(range(len(grids)))
        features = grid[pixel_mask]
    part.standardise.fit(features.to(part.standardise.mean.device))


def as_pictures(items: Sequence[CaptionedPicture | Question | Statement]) -> list[CaptionedPicture]:
    """Return the pictures of items with their sentences; those of a statement follow one another."""
    pictures: list[CaptionedPicture] = []
    for item in items:
        if isinstance(item, CaptionedPicture):
            pictures.append(item)
        else:
            files = (item.picture,) if isinstance(item, Question) else (item.left, item.right)
            pictures += (CaptionedPicture(file, (item.text,), item.split) for file in files)
    return pictures
