"""Provide the stages of a recipe with the run, its data, and cached outputs of the frozen parts of the network."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from pixsearch.durable import write_durably
from pixsearch.errors import DatasetError
from pixsearch.model.pixel_bert import EmbeddingMaps, PixelBertForRetrieval, PixelBertModel
from pixsearch.regular_files import open_regular, path_of
from pixsearch_trainer.batches.draws import CaptionedSet, Draw, Draws
from pixsearch_trainer.batches.sources import Augmentation, Source, cached_grids, packed_pixels, pair_batches
from pixsearch_trainer.classes import PROMPTS, ClassTeacher, classify
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.vqa import Question
from pixsearch_trainer.grids import GridStore, encode_grids, encode_sentences
from pixsearch_trainer.judging import ValStreams, judge_match, judge_streams
from pixsearch_trainer.objectives.streams import ClassOptions, Texts
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.stage import Batches, Judge, StageOptions
from pixsearch_trainer.teacher import TeacherEmbeddings

VAL_PICTURES = 500
"""The maximum number of val pictures measured during training; `pixsearch evaluate` uses all of them."""
_SAMPLE = 1000  # the number of pictures from which statistics are computed


@dataclass
class Material:
    """A run and the packed pictures it trains on."""

    run: Run
    items: Sequence[Any]
    """The items in the train and val splits: captioned pictures, questions or statements, depending on the task."""
    teacher: TeacherEmbeddings | None
    """The teacher's embeddings of the training pictures, in order, and of their texts; None without a teacher."""
    workers: int
    """The number of processes that decode pictures; see `packed_pixels`."""

    def __post_init__(self) -> None:
        pictures = as_pictures(self.items)
        val, training = of_split(pictures, "val"), of_split(pictures, "train")
        self.val = val[
            :: max(1, math.ceil(len(val) / VAL_PICTURES))
        ]  # evenly spaced, so that every data set is represented
        if len(training) < (least := max(2, self.run.accelerator.num_processes)):  # at least one per process
            raise DatasetError(
                f"training needs at least {least} captioned pictures, but the train split has {len(training)}",
                "Provide more captioned pictures",
            )
        self.training = CaptionedSet(training, self.run.seed)

    @property
    def network(self) -> PixelBertForRetrieval:
        assert isinstance(self.run.network, PixelBertForRetrieval)
        return self.run.network

    def draws(self, options: StageOptions, weights: Tensor | None = None) -> Draws:
        """Return draws of items by weight, by default of training pictures, with one batch per process."""
        processes = self.run.accelerator.num_processes
        weights = self.training.weights if weights is None else weights
        return Draws(weights, options.batch * processes, self.run.seed, processes)

    def batches(
        self, draw: Draw, source: Source, *, mirror: bool, data: CaptionedSet | None = None, words: bool = True
    ) -> Batches:
        """Return batches of pictures with one text each. By default, they are drawn from the training pictures."""
        run, data = self.run, data or self.training
        rank, processes = run.accelerator.process_index, run.accelerator.num_processes
        pairs_at = data.pairs_at(draw, mirror=mirror, rank=rank, processes=processes)
        return pair_batches(data, pairs_at, source, run.processor, run.device, words)

    def pixels(self, pictures: Sequence[CaptionedPicture], augmentation: Augmentation | None) -> Source:
        """Return a source that decodes the pictures for each step."""
        return packed_pixels(pictures, self.run.processor, augmentation, self.workers, self.run.seed)

    def views(self) -> tuple[GridStore, GridStore]:
        """Return the current CNN's grids for the training pictures, both plain and mirrored."""
        pictures = self.training.pictures
        return self.grids(pictures, "train"), self.grids(pictures, "train", mirrored=True)

    def sample(self) -> GridStore:
        """Return the current CNN's grids for a random sample of the training pictures."""
        generator = torch.Generator().manual_seed(self.run.seed)
        chosen = torch.randperm(len(self.training), generator=generator)[:_SAMPLE].tolist()
        return self.grids([self.training.pictures[index] for index in chosen], "sample")

    def cached(self) -> Source:
        """Return a source that reads the cached grids of the training pictures."""
        return cached_grids(*self.views())

    def texts(self) -> Texts:
        """Return all texts of the training pictures, encoded by the current text stream."""
        vectors = self._read("texts", self.training.texts)
        return Texts(vectors, self.training.true_texts.to(vectors.device), self.training.has_near_misses)

    def classes(self, options: ClassOptions) -> ClassTeacher | None:
        """Return the classifier as a teacher; None if no classifier is set."""
        if not options.classifier:
            return None
        run, backbone, pictures = self.run, self.network.config.backbone, self.training.pictures
        probabilities = self._kept(
            "classes",
            hashlib.sha256(options.classifier.encode()),
            lambda: classify(backbone, options.classifier, pictures, run.device, run.on_progress),
        )
        return ClassTeacher(probabilities.cpu(), self._read("prompts", PROMPTS), options.class_weight)

    def _read(self, name: str, texts: Sequence[str]) -> Tensor:
        """Encode texts with the current text stream. The result is cached until the weights of the stream change."""
        run, model = self.run, self.network.eval().model
        digest = hashlib.sha256("\0".join(texts).encode())
        for part in (model.word_embedding, model.layers):
            for tensor in part.state_dict().values():
                digest.update(tensor.cpu().numpy().tobytes())
        return self._kept(name, digest, lambda: encode_sentences(self.network, run.processor, texts, run.on_progress))

    def _kept(self, name: str, digest: hashlib._Hash, make: Callable[[], Tensor]) -> Tensor:
        """Return a cached tensor. If it is missing, the main process makes it and deletes older ones with this name."""
        run, file = self.run, self.run.folder.cache / f"{name}-{digest.hexdigest()[:16]}.safetensors"
        with run.accelerator.main_process_first():
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                for stale in file.parent.glob(f"{name}-*.safetensors"):
                    stale.unlink()
                write_durably(file, save({name: make()}))
        with open_regular(file) as kept:
            return load_file(path_of(kept))[name].to(run.device)

    def judge_streams(self) -> Judge | None:
        """Return a judge of the streams; None if val is empty."""
        return judge_streams(self._val_streams) if self.val else None

    def judge_match(self) -> Judge | None:
        """Return a judge of the joint stream; None if val is empty."""
        return judge_match(self._val_streams, self.run.processor) if self.val else None

    def _val_streams(self) -> ValStreams:
        return ValStreams(self.network, self.run.processor, self.val, self.grids(self.val, "val", alone=True))

    def grids(
        self, pictures: Sequence[CaptionedPicture], name: str, *, mirrored: bool = False, alone: bool = False
    ) -> GridStore:
        """Return grids from the cache, encoding them if needed (see `encode_grids`).

        The main process encodes the grids, and all other processes wait for the result. With `alone`, only the calling
        process takes part.
        """
        run = self.run

        def encode() -> GridStore:
            return encode_grids(run.network, run.processor, pictures, run.folder.cache, name, run.on_progress, mirrored)

        if alone:
            return encode()
        with run.accelerator.main_process_first():
            return encode()


def fit_missing_statistics(material: Material, *parts: PixelBertModel | EmbeddingMaps) -> None:
    """Fit the standardisation of CNN features on a sample of pictures, in the parts where it is not yet fitted."""
    for part in parts:
        if part.standardise.fitted:
            continue
        grids = material.sample()
        if isinstance(part, EmbeddingMaps):
            features = grids.pooled()
        else:
            grid, pixel_mask = grids.read(range(len(grids)))
            features = grid[pixel_mask]
        part.standardise.fit(features.to(part.standardise.mean.device))


def as_pictures(items: Sequence[CaptionedPicture | Question | Statement]) -> list[CaptionedPicture]:
    """Return the pictures of all items, each with its sentence. The two pictures of a statement are adjacent."""
    pictures: list[CaptionedPicture] = []
    for item in items:
        if isinstance(item, CaptionedPicture):
            pictures.append(item)
        else:
            files = (item.picture,) if isinstance(item, Question) else (item.left, item.right)
            pictures += (CaptionedPicture(file, (item.text,), item.split) for file in files)
    return pictures
