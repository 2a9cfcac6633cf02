"""Train with soft ITC: the maps alone, both streams, or the projection of pixels into the Transformer."""

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
    """The texts of a `CaptionedSet`, encoded by the frozen text stream, on the training device."""

    vectors: Tensor
    """The unit vectors of the texts [texts, width]."""
    true_texts: Tensor
    """The indices of the texts that describe each picture [pictures, most], padded with -1."""

    has_near_misses: bool
    """True if any picture in the data set has near misses."""

    def true_of(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """Return an array [captions, pictures], True where the caption is true of the picture.

        Args:
            pictures, captions: indices [m] and [n].
        """
        return (self.true_texts[pictures][None] == captions[:, None, None]).any(2)

    def targets(self, pictures: Tensor, captions: Tensor, softness: float, temperature: float) -> tuple[Tensor, Tensor]:
        """Return the target pictures of each caption, and the target captions of each picture (see `soft_targets`).

        A text is never a negative for a picture it describes.

        Args:
            pictures, captions: the indices of the pairs [n].
        """
        true, read = self.true_of(pictures, captions), self.vectors[captions]
        return soft_targets(true, read, softness, temperature), soft_targets(true.T, read, softness, temperature)


@dataclass(frozen=True, kw_only=True)
class ContrastiveOptions(StageOptions):
    """The options of the ITC targets, for all stages that are trained with ITC."""

    softness: float = 0.5
    """The share of the targets that depends on the similarity of captions (see `soft_targets`)."""
    temperature: float = 0.1
    """The temperature of the softmax over these similarities."""


@dataclass(frozen=True, kw_only=True)
class TaughtOptions(ContrastiveOptions):
    """The options for learning from near misses and from a teacher."""

    near_miss_weight: float = 0.1
    """The weight of distinguishing texts from near misses, relative to ITC."""
    teacher_weight: float = 1.0
    """The share of the ITC loss that comes from the teacher, if there is one."""


@dataclass(frozen=True, kw_only=True)
class ClassOptions(StageOptions):
    """The options for learning classes from a classifier (see `ClassTeacher`)."""

    classifier: str = ""
    """The .pth file of the EfficientNet-Lite used as the backbone, including its classifier; empty for none."""
    class_weight: float = 0.2
    """The weight of the class loss relative to ITC."""


@dataclass(frozen=True, kw_only=True)
class MapsOptions(TaughtOptions, ClassOptions):
    """The options for training the maps. The defaults were the best on Flickr8k's val (docs/history.md)."""

    epochs: float = 60
    batch: int = 500
    feature_dropout: float = 0.8
    hidden_dropout: float = 0.2


@dataclass(frozen=True, kw_only=True)
class StreamsOptions(TaughtOptions):
    """The options for training the streams: dropout and loss weights."""

    feature_dropout: float = 0.7
    hidden_dropout: float = 0.2
    channel_dropout: float = 0.6
    """The share of CNN channels to drop for late interaction. All pixels of a picture lose the same channels."""
    sampled_pixels: int = 27
    itc_weight: float = 1.0
    """The weight of the maps' ITC; 0 leaves the maps unchanged."""
    late_weight: float = 1.0
    """The weight of late interaction's ITC; 0 leaves it unchanged. Otherwise, late interaction must be open."""
    drift_weight: float = 1.0
    """The weight of the drift loss, which keeps sentences in place if the text stream is trained."""
    similarity_weight: float = 140.0
    """The weight of the late score in the ITM logit of a search. It is set, not trained (docs/experiments.md)."""


@dataclass(frozen=True, kw_only=True)
class PixelsOptions(ContrastiveOptions):
    """The options for training the projection of pixels into the Transformer."""

    steps: int | None = 300
    batch: int = 192
    weight_decay: float = 0.05
    scale_learning_rate: float = 1e-2
    feature_dropout: float = 0.5
    sampled_pixels: int = 24


class MapsObjective(Objective):
    """ITC on the maps alone, with pooled grids and texts from frozen streams. Training takes minutes on a CPU.

    The losses are `itc`, and, if the data or the options provide them, `teacher`, `near_misses` and `classes`.
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
        """Build the objective.

        Args:
            network: a network in which only the parameters to train require a gradient.
        """
        super().__init__()
        self.network, self._texts, self._options = network, texts, options
        self._teacher, self._classes = teacher, classes

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        assert batch.inputs.pooled is not None
        vectors = self._texts.vectors
        near_misses = vectors[batch.near_misses[self._with_near_miss(batch)]]
        total, losses = self.maps_itc(vectors[batch.captions], near_misses, batch.inputs.pooled, batch)
        return {"loss": total, **losses}

    def maps_itc(
        self, captions: Tensor, near_misses: Tensor, pooled: Tensor, batch: PairBatch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the maps' losses, and each loss by name. ITC is over the batch of all processes.

        Args:
            captions: the captions, encoded by the text stream [batch, width].
            near_misses: the near misses for the rows from `_with_near_miss`, also encoded [rows, width].
            pooled: the pooled grids [batch, 2 * channels].
        """
        maps, options = self.network.maps, self._options
        with torch.autocast(pooled.device.type, enabled=False):  # small products with a sharp softmax
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
        if self._uses_near_misses:
            rows = self._with_near_miss(batch)
            lead = maps.scale * (cosines(texts[rows], images) - cosines(near, images))  # [rows, batch]
            others = ~self._texts.true_of(batch.pictures, batch.captions[rows])
            losses["near_misses"] = near_miss_loss(lead.gather(1, rows[:, None])[:, 0], lead, others)
            total = total + options.near_miss_weight * losses["near_misses"]
        if self._classes is not None:
            losses["classes"] = self._classes.loss(maps, images, batch.pictures)
            total = total + self._classes.weight * losses["classes"]
        return total, losses

    def _targets(self, pictures: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        return self._texts.targets(pictures, captions, self._options.softness, self._options.temperature)

    @property
    def _uses_near_misses(self) -> bool:
        """True if near misses are used. The value is the same in all processes, so that they log the same losses."""
        return self._options.near_miss_weight > 0 and self._texts.has_near_misses

    def _with_near_miss(self, batch: PairBatch) -> Tensor:
        """Return the indices of the rows of a batch that have a near miss to train on [rows]."""
        if not self._uses_near_misses:
            return batch.near_misses.new_empty(0)
        return (batch.near_misses >= 0).nonzero()[:, 0]


class StreamsObjective(MapsObjective):
    """ITC on the maps, which match captions to pictures, and on late interaction, which matches words to pixels.

    The losses are those of the maps, `late`, `late_near_misses`, and `drift` if the text stream is trained.
    """

    _options: StreamsOptions

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        network, options = self.network, self._options
        trains_text = any(parameter.requires_grad for parameter in network.model.layers.parameters())
        with torch.set_grad_enabled(trains_text and torch.is_grad_enabled()):
            words = network.read_each_word(batch.ids, batch.mask)
            near_words = self._near_words(batch)
        total, losses = self.streams(batch, words, near_words, *batch.inputs.grids(network.model))
        if trains_text:
            losses["drift"] = drift_loss(masked_mean(words, batch.mask), self._texts.vectors[batch.captions])
            total = total + options.drift_weight * losses["drift"]
        return {"loss": total, **losses}

    def _near_words(self, batch: PairBatch) -> Tensor:
        """Return the near misses of the rows that have one, encoded by the text stream [rows, words, width]."""
        rows = self._with_near_miss(batch)
        if not len(rows):
            return self._texts.vectors.new_empty(0, batch.near_ids.shape[1], self._texts.vectors.shape[1])
        return self.network.read_each_word(batch.near_ids[rows], batch.near_mask[rows])

    def streams(
        self, batch: PairBatch, words: Tensor, near_words: Tensor, grid: Tensor, pixel_mask: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses of the maps and late interaction, and each loss by name.

        Args:
            words: the captions, encoded by the text stream [batch, words, width].
            near_words: the near misses, encoded by the text stream (see `_near_words`).
            grid, pixel_mask: the grids [batch, pixels, channels] and their mask [batch, pixels].
        """
        network, options, losses = self.network, self._options, dict[str, Tensor]()
        rows, total = self._with_near_miss(batch), words.new_zeros(())
        near_mask = batch.near_mask[rows]
        if options.itc_weight:
            texts = masked_mean(words, batch.mask), masked_mean(near_words, near_mask)
            itc, losses = self.maps_itc(*texts, pool_grid(grid.float(), pixel_mask), batch)
            total = total + options.itc_weight * itc
        if options.late_weight:
            sampled, sampled_mask = sample_pixels(grid, pixel_mask, options.sampled_pixels)
            sampled = network.model.standardise(sampled)
            sampled = sampled * F.dropout(torch.ones_like(sampled[:, :1]), options.channel_dropout)
            logits = network.late_interaction.every_pair(words, batch.mask, sampled, sampled_mask)
            losses["late"] = contrastive_loss(logits, *self._targets(batch.pictures, batch.captions))
            total = total + options.late_weight * losses["late"]
            if self._uses_near_misses:
                # Each near miss is paired only with its own picture and that of the previous pair. Using all pictures
                # would cost as much as ITC.
                shown = torch.stack([rows, (rows - 1) % len(batch)], dim=1)  # [rows, 2]
                false = [
                    network.late_interaction(near_words, near_mask, sampled[column], sampled_mask[column])
                    for column in shown.T
                ]
                losses["late_near_misses"] = self._near_miss_loss(batch, logits[rows[:, None], shown], false, shown)
                total = total + options.late_weight * options.near_miss_weight * losses["late_near_misses"]
        return total, losses

    def _near_miss_loss(self, batch: PairBatch, true: Tensor, false: list[Tensor], shown: Tensor) -> Tensor:
        """Return the `near_miss_loss` for the rows that have a near miss.

        Args:
            true: the logits of the captions with the pictures in `shown` [rows, pictures], own picture first.
            false: the logits of the near misses with the pictures in each column [rows].
            shown: the batch rows of the pictures [rows, pictures].
        """
        lead, captions = true - torch.stack(false, dim=1), batch.captions[shown[:, 0]]
        true_texts = self._texts.true_texts[batch.pictures[shown[:, 1:]]]  # [rows, others, most]
        return near_miss_loss(lead[:, 0], lead[:, 1:], (true_texts != captions[:, None, None]).all(2))


class PixelsObjective(Objective):
    """ITC between captions and pixels. The Transformer reads the pixels of a picture without any words.

    The joint stream cannot learn while pixels are noise to the Transformer. This objective adapts pixels to a frozen
    Transformer by training only the pixel projection, its norm and s_v. With half a million parameters, a few thousand
    pictures are enough, and the text stream stays unchanged.
    """

    def __init__(self, network: PixelBertForRetrieval, texts: Texts, options: PixelsOptions) -> None:
        super().__init__()
        self.network, self._texts, self._options = network, texts, options
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=texts.vectors.device))

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        options = self._options
        grid, pixel_mask = sample_pixels(*batch.inputs.grids(self.network.model), options.sampled_pixels)
        images = F.normalize(self.network.read_pixels(grid, options.feature_dropout, pixel_mask).float(), dim=-1)
        captions, scale = self._texts.vectors[batch.captions], self.log_scale.exp().clamp(max=100)
        pairs = gathered(batch.pictures), gathered(batch.captions)
        targets = self._texts.targets(*pairs, options.softness, options.temperature)
        return {"loss": contrastive_loss_over_processes(captions, images, scale, *targets)}


def sample_pixels(grid: Tensor, pixel_mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sample `count` pixels of each picture at random, or all if it has fewer (section 3.3).

    Args:
        grid: padded grids [pictures, pixels, channels].
        pixel_mask: the mask of the grids [pictures, pixels], False for padding.

    Returns:
        The sampled pixels [pictures, min(count, pixels), channels] and their mask.
    """
    order = torch.rand(pixel_mask.shape, device=grid.device).masked_fill(~pixel_mask, 2.0)  # padding comes last
    chosen = order.argsort(1)[:, :count]
    return grid.gather(1, chosen[..., None].expand(-1, -1, grid.shape[2])), pixel_mask.gather(1, chosen)
