"""ITC and ITM with hard negatives (ALBEF, section 3.2): the dual stream and the joint stream, trained together."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.pairs import PairBatch, grids_of
from pixsearch_trainer.losses import cosines, same_items
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings, distillation_loss
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.pretraining import matching_loss
from pixsearch_trainer.objectives.processes import gathered, own_rows
from pixsearch_trainer.objectives.sampling import sample_pixels


@dataclass(frozen=True)
class ContrastiveOptions:
    """What counts beside ITC."""

    matching_weight: float = 1.0
    """Of ITM; 0 trains the first stage alone."""
    sampled_pixels: int | None = None
    """Pixels of a picture that a step reads; None for all."""
    queue: int = 0
    """Pairs of earlier batches, by the momentum model, that each pair is contrasted with as well."""
    momentum: float = 0.995
    soft_labels: float = 0.0
    """Share of ITC's targets that the momentum model says."""
    teacher_weight: float = 1.0
    """Share of ITC that follows the teacher, where there is one."""


class MomentumModel(nn.Module):
    """A slow copy of the network, and the embeddings that it made of the last pairs (MoCo; ALBEF, section 3.2)."""

    network: PixelBertForRetrieval
    images: Tensor
    texts: Tensor
    pictures: Tensor
    captions: Tensor

    def __init__(self, network: PixelBertForRetrieval, queue: int, momentum: float) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.momentum = momentum
        size = network.config.embedding_size
        self.register_buffer("images", torch.zeros(queue, size))
        self.register_buffer("texts", torch.zeros(queue, size))
        self.register_buffer("pictures", torch.full((queue,), -1))
        self.register_buffer("captions", torch.full((queue,), -1))

    @torch.no_grad()
    def follow(self, network: PixelBertForRetrieval) -> None:
        """Go a little of the way to where the network is now."""
        for slow, fast in zip(self.network.parameters(), network.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)

    @torch.no_grad()
    def enqueue(self, images: Tensor, texts: Tensor, pictures: Tensor, captions: Tensor) -> None:
        """Newest first; the oldest fall off."""
        queue = len(self.images)
        for name, new in (("images", images), ("texts", texts), ("pictures", pictures), ("captions", captions)):
            kept: Tensor = getattr(self, name)
            setattr(self, name, torch.cat([new.to(kept.dtype), kept])[:queue])

    @property
    def filled(self) -> Tensor:
        """[queue], True where a pair stands already."""
        return self.pictures >= 0


@dataclass(frozen=True)
class _Keys:
    """What a batch's pairs are contrasted with: the momentum model's embeddings of it, then those of the queue."""

    images: Tensor
    texts: Tensor
    empty: Tensor
    """[keys], True where the queue has no pair yet."""
    queued: tuple[Tensor, Tensor]
    """The pictures and the captions of the queue."""


class ContrastiveObjective(Objective):
    """ITC over the batch (of all processes) and the queue, and ITM on each pair and its hardest false partners.

    A picture's captions are never each other's negatives, nor is a caption that two pictures share. Late interaction is
    trained by ITC of its own, over the batch of this process, where the network has it: it has to follow the CNN.
    Losses: `itc`, `itm`, `late` where late interaction is open, and `teacher` where there is one.
    """

    network: PixelBertForRetrieval

    def __init__(
        self,
        network: PixelBertForRetrieval,
        options: ContrastiveOptions,
        teacher: TeacherEmbeddings | None = None,
    ) -> None:
        super().__init__()
        self.network, self.options, self._teacher = network, options, teacher
        slow = options.queue or options.soft_labels
        self.slow = MomentumModel(network, options.queue, options.momentum) if slow else None

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        network, options = self.network, self.options
        grid, pixel_mask = grids_of(network.model, batch)
        if options.sampled_pixels is not None and self.training:
            grid, pixel_mask = sample_pixels(grid, pixel_mask, options.sampled_pixels)
        words = network.read_each_word(batch.ids, batch.mask)
        images, texts = network.embed_image(grid, pixel_mask), network.embed_words(words, batch.mask)
        pictures, captions = gathered(batch.pictures), gathered(batch.captions)
        own = own_rows(len(batch))
        same = same_items(pictures[own], captions[own], pictures, captions)
        scale = network.maps.scale
        if self.slow is None:
            to_pictures, to_captions = (
                scale * cosines(texts, gathered(images)),
                scale * cosines(images, gathered(texts)),
            )
            pictures_wanted = captions_wanted = same / same.sum(1, keepdim=True)
        else:
            keys = self._slow_keys(self.slow, batch, grid, pixel_mask, pictures, captions)
            true = torch.cat([same, same_items(pictures[own], captions[own], *keys.queued)], dim=1)
            to_pictures, pictures_wanted = self._against(keys, texts, keys.texts[own], keys.images, true)
            to_captions, captions_wanted = self._against(keys, images, keys.images[own], keys.texts, true)
        itc = (_cross_entropy(to_pictures, pictures_wanted) + _cross_entropy(to_captions, captions_wanted)) / 2
        losses, total = {"itc": itc}, itc
        similarity = cosines(texts, images)
        if self._teacher is not None:
            wanted = self._teacher.targets(batch.pictures.cpu(), batch.captions.cpu())
            losses["teacher"] = distillation_loss(scale * similarity, *(targets.to(itc) for targets in wanted))
            total = (1 - options.teacher_weight) * itc + options.teacher_weight * losses["teacher"]
        if not network.late_interaction.closed:
            losses["late"] = self._late(words, batch.mask, grid, pixel_mask, same[:, own])
            total = total + losses["late"]
        if options.matching_weight:
            losses["itm"] = self._matching(batch, grid, pixel_mask, similarity, same[:, own], scale.detach())
            total = total + options.matching_weight * losses["itm"]
        return {"loss": total, **losses}

    @torch.no_grad()
    def _slow_keys(
        self,
        slow: MomentumModel,
        batch: PairBatch,
        grid: Tensor,
        pixel_mask: Tensor,
        pictures: Tensor,
        captions: Tensor,
    ) -> _Keys:
        """What the momentum model makes of the batch, before the queue as it was; the batch then joins the queue."""
        slow.follow(self.network)
        images = gathered(slow.network.embed_image(grid, pixel_mask).float())
        texts = gathered(slow.network.embed_text(batch.ids, batch.mask).float())
        keys = _Keys(
            torch.cat([images, slow.images]),
            torch.cat([texts, slow.texts]),
            torch.cat([slow.filled.new_zeros(len(images)), ~slow.filled]),
            (slow.pictures, slow.captions),
        )
        slow.enqueue(images, texts, pictures, captions)
        return keys

    def _against(
        self, keys: _Keys, queries: Tensor, slow_queries: Tensor, items: Tensor, true: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits and targets [queries, items]: the true items, and a share of what the momentum model would say."""
        scale, soft = self.network.maps.scale, self.options.soft_labels
        logits = (scale * cosines(queries, items)).masked_fill(keys.empty, -1e4)
        said = (scale.detach() * cosines(slow_queries, items)).masked_fill(keys.empty, -1e4).softmax(1)
        return logits, (1 - soft) * true / true.sum(1, keepdim=True) + soft * said

    def _late(self, words: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor, same: Tensor) -> Tensor:
        """ITC by late interaction; `same` [batch, batch] of this process."""
        standardised = self.network.model.standardise(grid)
        logits = self.network.late_interaction.every_pair(words, mask, standardised, pixel_mask)
        wanted = same / same.sum(1, keepdim=True)
        return (_cross_entropy(logits, wanted) + _cross_entropy(logits.T, wanted)) / 2

    def _matching(
        self, batch: PairBatch, grid: Tensor, pixel_mask: Tensor, similarity: Tensor, same: Tensor, scale: Tensor
    ) -> Tensor:
        """Each pair against its caption with a hard picture and its picture with a hard caption, of this process."""
        false = ~same
        texts, images = false.any(1).nonzero()[:, 0], false.any(0).nonzero()[:, 0]
        hard_images = draw_hard(similarity.detach() * scale, false)[texts]
        hard_texts = draw_hard(similarity.detach().T * scale, false.T)[images]
        everything = torch.arange(len(batch), device=texts.device)
        rows = torch.cat([everything, texts, hard_texts])
        columns = torch.cat([everything, hard_images, images])
        # The similarity is detached: ITM judges with it but does not train the first stage, which has ITC.
        logits = self.network.match(
            batch.ids[rows], batch.mask[rows], grid[columns], similarity.detach()[rows, columns], pixel_mask[columns]
        )
        return matching_loss(logits[: len(batch)], logits[len(batch) :])


def draw_hard(logits: Tensor, false: Tensor) -> Tensor:
    """For each row a false column, the likelier the more it looks true: by softmax over the false ones (ALBEF).

    Args:
        logits: [rows, columns].
        false: [rows, columns]; a row without any gets a meaningless column.
    """
    weights = logits.float().masked_fill(~false, -1e4).softmax(1) + 1e-4 * false
    return torch.multinomial(torch.where(false.any(1, keepdim=True), weights * false, 1.0), 1).squeeze(1)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits and targets [rows, columns], rows of targets sum to 1 -> the mean over rows."""
    return -(targets * F.log_softmax(logits.float(), dim=1)).sum(1).mean()
