"""Soft ITC: of the maps alone, of both streams that are read apart, and of pixels that the Transformer reads alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval, masked_mean, pool_grid
from pixsearch_trainer.batches.sources import PairBatch
from pixsearch_trainer.losses import (
    contrastive_loss,
    contrastive_loss_over_processes,
    drift_loss,
    gathered,
    same_items,
    soft_targets,
)
from pixsearch_trainer.run.stage import Objective, StageOptions
from pixsearch_trainer.teacher import TeacherEmbeddings


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


@dataclass(frozen=True, kw_only=True)
class StreamsOptions(ContrastiveOptions):
    """How much the streams go without while they are trained, and how much each part counts."""

    feature_dropout: float = 0.7
    hidden_dropout: float = 0.2
    channel_dropout: float = 0.6
    """Share of the CNN's channels that late interaction goes without, the same in all pixels of a picture."""
    sampled_pixels: int = 27
    itc_weight: float = 1.0
    """How much the maps' ITC counts; 0 leaves them as they are."""
    late_weight: float = 1.0
    """How much late interaction's counts, which must be open; 0 leaves it as it is."""
    drift_weight: float = 1.0
    """How much sentences are held where they were, where the text stream is trained."""


@dataclass(frozen=True, kw_only=True)
class PixelsOptions(ContrastiveOptions):
    """How pixels are taught to be read."""

    steps: int | None = 300
    batch: int = 192
    weight_decay: float = 0.05
    scale_learning_rate: float = 1e-2
    feature_dropout: float = 0.5
    sampled_pixels: int = 24


class ContrastiveObjective(Objective):
    """Each caption is to find its picture, and each picture its caption, among those of the batch."""

    def __init__(
        self,
        network: PixelBertForRetrieval,
        sentences: Tensor,
        options: ContrastiveOptions,
        teacher: TeacherEmbeddings | None = None,
    ) -> None:
        """Args:
        network: with only those parameters requiring a gradient that are to be trained.
        sentences: all captions as the text stream read them before, unit vectors [captions, width].
        """
        super().__init__()
        self.network, self._sentences, self._options, self._teacher = network, sentences, options, teacher

    def targets(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """Return the soft targets of pairs, given by their indices in the data set [n] -> [n, n]."""
        same, options = same_items(pictures, captions), self._options
        return soft_targets(same, self._sentences[captions], options.softness, options.temperature)

    def itc(self, texts: Tensor, images: Tensor, scale: Tensor, batch: PairBatch) -> dict[str, Tensor]:
        """ITC over the batch of all processes, by soft targets and, where there is one, a teacher's.

        Args:
            texts, images: unit vectors of the batch [batch, width].
            scale: what cosines are multiplied by before the softmax.

        Returns:
            `loss` and its parts: `itc`, and `teacher` where there is one.
        """
        targets = self.targets(gathered(batch.pictures), gathered(batch.captions))
        loss = contrastive_loss_over_processes(texts, images, scale, targets)
        if self._teacher is None:
            return {"loss": loss, "itc": loss}
        taught = self._teacher.loss(scale, texts, images, batch.pictures.cpu(), batch.captions.cpu())
        weight = self._options.teacher_weight
        return {"loss": (1 - weight) * loss + weight * taught, "itc": loss, "teacher": taught}


class MapsObjective(ContrastiveObjective):
    """ITC on the maps alone, on pooled grids and sentences that frozen streams made: minutes on a CPU."""

    _options: MapsOptions | StreamsOptions

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        assert batch.seen.pooled is not None
        return self.maps_itc(self._sentences[batch.captions], batch.seen.pooled, batch)

    def maps_itc(self, sentences: Tensor, pooled: Tensor, batch: PairBatch) -> dict[str, Tensor]:
        """`itc` of sentences [batch, width] and pooled grids [batch, 2 * channels] through the maps."""
        maps, options = self.network.maps, self._options
        with torch.autocast(pooled.device.type, enabled=False):  # small products, and their softmax is sharp
            images = maps.image(pooled.float(), options.feature_dropout, options.hidden_dropout)
            texts = maps.text(sentences.float())
        return self.itc(texts, F.normalize(images, dim=-1), maps.scale, batch)


class StreamsObjective(MapsObjective):
    """Captions are to find their pictures by their embeddings, and their words the pixels that show them; and back.

    Losses: `itc`, `late`, and `drift` where the text stream is trained; `teacher` where there is one.
    """

    _options: StreamsOptions

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        network, options = self.network, self._options
        trains_text = any(parameter.requires_grad for parameter in network.model.layers.parameters())
        with torch.set_grad_enabled(trains_text and torch.is_grad_enabled()):
            words = network.read_each_word(batch.ids, batch.mask)
        total, losses = self.streams(batch, words, *batch.seen.grids(network.model))
        if trains_text:
            losses["drift"] = drift_loss(masked_mean(words, batch.mask), self._sentences[batch.captions])
            total = total + options.drift_weight * losses["drift"]
        return {"loss": total, **losses}

    def streams(
        self, batch: PairBatch, words: Tensor, grid: Tensor, pixel_mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of both ITCs, and each: `itc` and `late` where they count.

        Args:
            words: [batch, words, width], as the text stream reads them.
            grid, pixel_mask: [batch, pixels, channels], [batch, pixels].
        """
        network, options, losses = self.network, self._options, dict[str, Tensor]()
        total = words.new_zeros(())
        if options.itc_weight:
            losses = self.maps_itc(masked_mean(words, batch.mask), pool_grid(grid.float(), pixel_mask), batch)
            total = total + options.itc_weight * losses.pop("loss")
        if options.late_weight:
            sampled, sampled_mask = sample_pixels(grid, pixel_mask, options.sampled_pixels)
            sampled = network.model.standardise(sampled)
            sampled = sampled * F.dropout(torch.ones_like(sampled[:, :1]), options.channel_dropout)
            logits = network.late_interaction.every_pair(words, batch.mask, sampled, sampled_mask)
            losses["late"] = contrastive_loss(logits, self.targets(batch.pictures, batch.captions))
            total = total + options.late_weight * losses["late"]
        return total, losses


class PixelsObjective(ContrastiveObjective):
    """A picture's pixels, read alone, are to come out where its caption comes out, and not where others do.

    The joint stream learns nothing while pixels are noise to the Transformer. This teaches a frozen one to read them:
    only the pixel projection, its norm and s_v are trained, half a million numbers, so a few thousand pictures suffice
    and the text stream stays as it is.
    """

    _options: PixelsOptions

    def __init__(self, network: PixelBertForRetrieval, sentences: Tensor, options: PixelsOptions) -> None:
        super().__init__(network, sentences, options)
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=sentences.device))

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        options = self._options
        grid, pixel_mask = sample_pixels(*batch.seen.grids(self.network.model), options.sampled_pixels)
        pictures = F.normalize(self.network.read_pixels(grid, options.feature_dropout, pixel_mask).float(), dim=-1)
        return self.itc(self._sentences[batch.captions], pictures, self.log_scale.exp().clamp(max=100), batch)


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
