"""ITC on the embedding maps alone, on top of what is frozen: minutes on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import EmbeddingMaps
from pixsearch_trainer.batches.draws import CaptionedSet, PairsAt
from pixsearch_trainer.losses import contrastive_loss_over_processes, same_items, soft_targets
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.processes import gathered
from pixsearch_trainer.run.stage import Batches, Objective, StageOptions


@dataclass(frozen=True, kw_only=True)
class ContrastiveOptions(StageOptions):
    """The targets of ITC, whatever is trained by it."""

    softness: float = 0.5
    """Share of the targets that follows the captions' similarity (see `soft_targets`)."""
    temperature: float = 0.1
    teacher_weight: float = 1.0
    """Share of ITC that follows the teacher, where there is one."""


@dataclass(frozen=True, kw_only=True)
class MapsOptions(ContrastiveOptions):
    """How the maps are trained; the defaults won on Flickr8k's val (docs/experiments.md)."""

    epochs: float = 60
    batch: int = 500
    feature_dropout: float = 0.8
    hidden_dropout: float = 0.2


class CaptionedBatch(Protocol):
    """Pictures and a caption of each, by their places [batch]."""

    @property
    def pictures(self) -> Tensor: ...

    @property
    def captions(self) -> Tensor: ...


@dataclass(frozen=True)
class PooledBatch:
    """Pictures as pooled grids, and one caption of each."""

    pictures: Tensor
    captions: Tensor
    pooled: Tensor
    """[batch, 2 * channels]."""
    names: list[str]

    def __len__(self) -> int:
        return len(self.pictures)


def pooled_batches(data: CaptionedSet, pairs_at: PairsAt, views: Tensor) -> Batches:
    """Return batches of pooled grids from memory.

    Args:
        views: [pictures, 2, 2 * channels], plain and mirrored.
    """

    def batches(first: int) -> Iterator[PooledBatch]:
        step = first
        while True:
            pairs = pairs_at(step)
            places, captions = pairs.pictures.to(views.device), pairs.captions.to(views.device)
            pooled = views[places, pairs.mirrored.to(views.device).long()]
            yield PooledBatch(places, captions, pooled, data.names(pairs.pictures))
            step += 1

    return batches


class MapsObjective(Objective):
    """Each caption is to find its picture, and each picture its caption, among those of the batch."""

    def __init__(
        self, maps: EmbeddingMaps, sentences: Tensor, options: MapsOptions, teacher: TeacherEmbeddings | None = None
    ) -> None:
        """Args:
        sentences: all captions as the frozen text stream reads them, unit vectors [captions, width].
        """
        super().__init__()
        self.maps, self._sentences, self._options, self._teacher = maps, sentences, options, teacher

    def forward(self, batch: PooledBatch) -> dict[str, Tensor]:
        maps, options = self.maps, self._options
        with torch.autocast(batch.pooled.device.type, enabled=False):  # small products, and their softmax is sharp
            images = maps.image(batch.pooled, options.feature_dropout, options.hidden_dropout)
            texts = maps.text(self._sentences[batch.captions])
        return itc(
            texts, F.normalize(images.float(), dim=-1), maps.scale, batch, self._sentences, options, self._teacher
        )


def itc(
    texts: Tensor,
    images: Tensor,
    scale: Tensor,
    batch: CaptionedBatch,
    sentences: Tensor,
    options: ContrastiveOptions,
    teacher: TeacherEmbeddings | None,
) -> dict[str, Tensor]:
    """ITC over the batch of all processes, by soft targets and, where there is one, a teacher's: `loss` and its parts.

    Args:
        texts, images: unit vectors of the batch [batch, width].
        sentences: as of `MapsObjective`.
    """
    pictures, captions = gathered(batch.pictures), gathered(batch.captions)
    targets = soft_targets(same_items(pictures, captions), sentences[captions], options.softness, options.temperature)
    loss = contrastive_loss_over_processes(texts, images, scale, targets)
    if teacher is None:
        return {"loss": loss, "itc": loss}
    taught = teacher.loss(scale, texts, images, batch.pictures.cpu(), batch.captions.cpu())
    weight = options.teacher_weight
    return {"loss": (1 - weight) * loss + weight * taught, "itc": loss, "teacher": taught}
