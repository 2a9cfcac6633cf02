"""Soft ITC on what the streams read apart: the maps, late interaction, and with them the CNN or the text stream."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval, masked_mean, pool_grid
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.losses import contrastive_loss, drift_loss, same_items, soft_targets
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.objectives.maps import ContrastiveOptions, itc
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.run.stage import Objective


@dataclass(frozen=True, kw_only=True)
class StreamsOptions(ContrastiveOptions):
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


class StreamsObjective(Objective):
    """Captions are to find their pictures by their embeddings, and their words the pixels that show them; and back.

    Losses: `itc`, `late`, and `drift` where the text stream is trained; `teacher` where there is one.
    """

    def __init__(
        self,
        network: PixelBertForRetrieval,
        sentences: Tensor,
        options: StreamsOptions,
        teacher: TeacherEmbeddings | None = None,
    ) -> None:
        """Args:
        network: with only those parameters requiring a gradient that are to be trained.
        sentences: all captions as the text stream read them before, unit vectors [captions, width].
        """
        super().__init__()
        self.network, self._sentences, self._options, self._teacher = network, sentences, options, teacher
        self._trains_late = options.late_weight > 0 and not network.late_interaction.closed
        self._trains_text = any(parameter.requires_grad for parameter in network.model.layers.parameters())

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        network, options = self.network, self._options
        with torch.set_grad_enabled(self._trains_text and torch.is_grad_enabled()):
            words = network.read_each_word(batch.ids, batch.mask)
        grid, pixel_mask = batch.seen.grids(network.model)
        losses = self.losses(batch, words, grid, pixel_mask)
        total = self.weighted(losses)
        if self._trains_text:
            losses["drift"] = drift_loss(masked_mean(words, batch.mask), self._sentences[batch.captions])
            total = total + options.drift_weight * losses["drift"]
        return {"loss": total, **losses}

    def losses(self, batch: PairBatch, words: Tensor, grid: Tensor, pixel_mask: Tensor) -> dict[str, Tensor]:
        """Both ITCs of a batch: `late` where late interaction is open, and those of `itc` where the maps count.

        Args:
            words: [batch, words, width], as the text stream reads them.
            grid, pixel_mask: [batch, pixels, channels], [batch, pixels].
        """
        network, options, losses = self.network, self._options, dict[str, Tensor]()
        if options.itc_weight:
            with torch.autocast(grid.device.type, enabled=False):
                pooled = pool_grid(grid.float(), pixel_mask)
                images = network.maps.image(pooled, options.feature_dropout, options.hidden_dropout)
            texts, images = network.embed_words(words, batch.mask), F.normalize(images.float(), dim=-1)
            losses = itc(texts, images, network.maps.scale, batch, self._sentences, options, self._teacher)
        if self._trains_late:
            sampled, sampled_mask = sample_pixels(grid, pixel_mask, options.sampled_pixels)
            sampled = network.model.standardise(sampled)
            sampled = sampled * F.dropout(torch.ones_like(sampled[:, :1]), options.channel_dropout)
            logits = network.late_interaction.every_pair(words, batch.mask, sampled, sampled_mask)
            same, read = same_items(batch.pictures, batch.captions), self._sentences[batch.captions]
            losses["late"] = contrastive_loss(logits, soft_targets(same, read, options.softness, options.temperature))
        return losses

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """Take ITC's `loss` out of the losses; return the weighted sum of both ITCs."""
        weights = {"loss": self._options.itc_weight, "late": self._options.late_weight}
        weighted = [weight * losses[name] for name, weight in weights.items() if name in losses]
        losses.pop("loss", None)
        return torch.stack(weighted).sum() if weighted else self._sentences.new_zeros(())
