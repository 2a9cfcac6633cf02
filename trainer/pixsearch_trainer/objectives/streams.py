"""Soft ITC: of the maps alone, of both streams that are read apart, and of pixels that the Transformer reads alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval, masked_mean, pool_grid
from pixsearch_trainer.batches.sources import PairBatch
from pixsearch_trainer.classes import ClassTeacher
from pixsearch_trainer.losses import (
    contrastive_loss,
    contrastive_loss_over_processes,
    cosines,
    drift_loss,
    gathered,
    near_miss_loss,
    soft_targets,
)
from pixsearch_trainer.run.stage import Objective, StageOptions
from pixsearch_trainer.teacher import TeacherEmbeddings


@dataclass(frozen=True)
class Texts:
    """The texts of a `CaptionedSet` on the training device, as the frozen text stream reads them."""

    vectors: Tensor
    """Unit vectors [texts, width]."""
    true_texts: Tensor
    """Indices of the texts that are true of each picture [pictures, most], -1 for none."""

    def targets(self, pictures: Tensor, captions: Tensor, softness: float, temperature: float) -> tuple[Tensor, Tensor]:
        """Return which picture each caption should find, and which caption each picture (see `soft_targets`).

        A text is a negative of no picture of which it is true, whichever picture it was drawn for.

        Args:
            pictures, captions: indices of the pairs [n].
        """
        true, read = (self.true_texts[pictures][None] == captions[:, None, None]).any(2), self.vectors[captions]
        return soft_targets(true, read, softness, temperature), soft_targets(true.T, read, softness, temperature)


@dataclass(frozen=True, kw_only=True)
class ContrastiveOptions(StageOptions):
    """The targets of ITC, whatever is trained by it."""

    softness: float = 0.5
    """Share of the targets that follows the captions' similarity (see `soft_targets`)."""
    temperature: float = 0.1


@dataclass(frozen=True, kw_only=True)
class TaughtOptions(ContrastiveOptions):
    """What else the maps learn from."""

    near_miss_weight: float = 0.1
    teacher_weight: float = 1.0
    """Share of ITC that follows the teacher, where there is one."""
    classifier: str = ""
    """A .pth file of EfficientNet-Lite with its classifier, a second teacher (see `ClassTeacher`)."""
    class_weight: float = 0.2


@dataclass(frozen=True, kw_only=True)
class MapsOptions(TaughtOptions):
    """How the maps are trained; the defaults won on Flickr8k's val (docs/experiments.md)."""

    epochs: float = 60
    batch: int = 500
    feature_dropout: float = 0.8
    hidden_dropout: float = 0.2


@dataclass(frozen=True, kw_only=True)
class StreamsOptions(TaughtOptions):
    """What the streams go without while they are trained, and how much each part counts."""

    feature_dropout: float = 0.7
    """Of pooled features."""
    hidden_dropout: float = 0.2
    channel_dropout: float = 0.6
    """Share of the CNN's channels that late interaction goes without, the same in all pixels of a picture."""
    sampled_pixels: int = 27
    itc_weight: float = 1.0
    """Of the maps' ITC; 0 leaves them as they are."""
    late_weight: float = 1.0
    drift_weight: float = 1.0
    """Of what holds sentences where they were, where the text stream is trained."""


@dataclass(frozen=True, kw_only=True)
class PixelsOptions(ContrastiveOptions):
    """How pixels are taught to be read."""

    steps: int | None = 300
    batch: int = 192
    weight_decay: float = 0.05
    scale_learning_rate: float = 1e-2
    feature_dropout: float = 0.5
    sampled_pixels: int = 24


class MapsObjective(Objective):
    """ITC on the maps alone, on pooled grids and texts that frozen streams made: minutes on a CPU.

    Losses: `itc`; `near_misses`, `teacher` and `classes` where there are any.
    """

    _options: MapsOptions | StreamsOptions

    def __init__(
        self,
        network: PixelBertForRetrieval,
        texts: Texts,
        options: MapsOptions | StreamsOptions,
        teacher: TeacherEmbeddings | None = None,
        classes: ClassTeacher | None = None,
    ) -> None:
        """Args:
        network: with only those parameters requiring a gradient that are to be trained.
        """
        super().__init__()
        self.network, self._texts, self._options = network, texts, options
        self._teacher, self._classes = teacher, classes

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        assert batch.seen.pooled is not None
        captions, near_misses = self._texts.vectors[batch.captions], self._texts.vectors[batch.near_misses]
        total, losses = self.maps_itc(captions, near_misses, batch.seen.pooled, batch)
        return {"loss": total, **losses}

    def maps_itc(
        self, captions: Tensor, near_misses: Tensor, pooled: Tensor, batch: PairBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """ITC of the maps over the batch of all processes, and what else they learn from: the weighted sum, and each.

        Args:
            captions, near_misses: as the text stream reads them [batch, width].
            pooled: [batch, 2 * channels].
        """
        maps, options = self.network.maps, self._options
        with torch.autocast(pooled.device.type, enabled=False):  # small products, and their softmax is sharp
            images = maps.image(pooled.float(), options.feature_dropout, options.hidden_dropout)
            images = F.normalize(images, dim=-1)
            texts, near = maps.text(captions.float()), maps.text(near_misses.float())
        targets = self._targets(gathered(batch.pictures), gathered(batch.captions))
        total = contrastive_loss_over_processes(texts, images, maps.scale, *targets)
        losses = {"itc": total}
        if self._teacher is not None:
            pair = batch.pictures.cpu(), batch.captions.cpu()
            losses["teacher"] = self._teacher.loss(maps.scale, texts, images, *pair)
            total = total.lerp(losses["teacher"], options.teacher_weight)
        if self._tells_near_misses(batch):
            true, false = maps.scale * cosines(texts, images), maps.scale * cosines(near, images)
            scores = true.diagonal(), elsewhere(true), false.diagonal(), elsewhere(false)
            losses["near_misses"] = near_miss_loss(*(score[batch.near_misses >= 0] for score in scores))
            total = total + options.near_miss_weight * losses["near_misses"]
        if self._classes is not None:
            losses["classes"] = self._classes.loss(maps, images, batch.pictures)
            total = total + options.class_weight * losses["classes"]
        return total, losses

    def _targets(self, pictures: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        return self._texts.targets(pictures, captions, self._options.softness, self._options.temperature)

    def _tells_near_misses(self, batch: PairBatch) -> bool:
        return self._options.near_miss_weight > 0 and bool((batch.near_misses >= 0).any())


class StreamsObjective(MapsObjective):
    """Captions are to find their pictures by their embeddings, and their words the pixels that show them; and back.

    Losses: those of the maps, `late`, `late_near_misses`, and `drift` where the text stream is trained.
    """

    _options: StreamsOptions

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        network, options = self.network, self._options
        trains_text = any(parameter.requires_grad for parameter in network.model.layers.parameters())
        with torch.set_grad_enabled(trains_text and torch.is_grad_enabled()):
            words = network.read_each_word(batch.ids, batch.mask)
            near_words = network.read_each_word(batch.near_ids, batch.near_mask)
        total, losses = self.streams(batch, words, near_words, *batch.seen.grids(network.model))
        if trains_text:
            losses["drift"] = drift_loss(masked_mean(words, batch.mask), self._texts.vectors[batch.captions])
            total = total + options.drift_weight * losses["drift"]
        return {"loss": total, **losses}

    def streams(
        self, batch: PairBatch, words: Tensor, near_words: Tensor, grid: Tensor, pixel_mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses of both ITCs, and each.

        Args:
            words, near_words: [batch, words, width], captions and near misses as the text stream reads them.
            grid, pixel_mask: [batch, pixels, channels], [batch, pixels].
        """
        network, options, losses = self.network, self._options, dict[str, Tensor]()
        total = words.new_zeros(())
        if options.itc_weight:
            texts = masked_mean(words, batch.mask), masked_mean(near_words, batch.near_mask)
            itc, losses = self.maps_itc(*texts, pool_grid(grid.float(), pixel_mask), batch)
            total = total + options.itc_weight * itc
        if options.late_weight:
            sampled, sampled_mask = sample_pixels(grid, pixel_mask, options.sampled_pixels)
            sampled = network.model.standardise(sampled)
            sampled = sampled * F.dropout(torch.ones_like(sampled[:, :1]), options.channel_dropout)
            logits = network.late_interaction.every_pair(words, batch.mask, sampled, sampled_mask)
            losses["late"] = contrastive_loss(logits, *self._targets(batch.pictures, batch.captions))
            total = total + options.late_weight * losses["late"]
            if self._tells_near_misses(batch):
                own, other = (
                    network.late_interaction(near_words, batch.near_mask, sampled.roll(by, 0), sampled_mask.roll(by, 0))
                    for by in (0, 1)
                )
                scores = logits.diagonal(), elsewhere(logits), own, other
                losses["late_near_misses"] = near_miss_loss(*(score[batch.near_misses >= 0] for score in scores))
                total = total + options.late_weight * options.near_miss_weight * losses["late_near_misses"]
        return total, losses


def elsewhere(logits: Tensor) -> Tensor:
    """The mean logit of each text with the pictures of the others, [texts, pictures] of pairs -> [texts]."""
    return (logits.sum(-1) - logits.diagonal(dim1=-2, dim2=-1)) / max(1, logits.shape[-1] - 1)


class PixelsObjective(Objective):
    """A picture's pixels, read alone, are to come out where its caption comes out, and not where others do.

    The joint stream learns nothing while pixels are noise to the Transformer. This teaches a frozen one to read them:
    only the pixel projection, its norm and s_v are trained, half a million numbers, so a few thousand pictures suffice
    and the text stream stays as it is.
    """

    def __init__(self, network: PixelBertForRetrieval, texts: Texts, options: PixelsOptions) -> None:
        super().__init__()
        self.network, self._texts, self._options = network, texts, options
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=texts.vectors.device))

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        options = self._options
        grid, pixel_mask = sample_pixels(*batch.seen.grids(self.network.model), options.sampled_pixels)
        images = F.normalize(self.network.read_pixels(grid, options.feature_dropout, pixel_mask).float(), dim=-1)
        captions, scale = self._texts.vectors[batch.captions], self.log_scale.exp().clamp(max=100)
        pairs = gathered(batch.pictures), gathered(batch.captions)
        targets = self._texts.targets(*pairs, options.softness, options.temperature)
        return {"loss": contrastive_loss_over_processes(captions, images, scale, *targets)}


def sample_pixels(grid: Tensor, pixel_mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sample at most `count` pixels of each picture at random; of a picture that has fewer, all (section 3.3).

    Args:
        grid: [pictures, pixels, channels].
        pixel_mask: [pictures, pixels], True where a pixel stands.

    Returns:
        [pictures, min(count, pixels), channels] and its mask.
    """
    order = torch.rand(pixel_mask.shape, device=grid.device).masked_fill(~pixel_mask, 2.0)  # padding comes last
    chosen = order.argsort(1)[:, :count]
    return grid.gather(1, chosen[..., None].expand(-1, -1, grid.shape[2])), pixel_mask.gather(1, chosen)
