"""Train image-text matching (ITM) in the joint stream, on blocks of pictures that look alike.

With only a few thousand pictures, binary ITM on random negatives learns nothing. Three changes make it work:

- *Blocks of look-alikes.* Every caption in a block is matched with every picture in the block. The loss is a softmax
  cross-entropy over each row (which picture?) and each column (which caption?). This is the paper's ranking among
  hard negatives (section 4.2), in both directions.
- *A separate logit.* The scores of the two streams are not part of the logit during training. The streams have
  memorised the training pictures, so nothing would be left to learn.
- *Many pairs* per step, combined with masked words (MLM).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.masked_words import MaskedWordHead
from pixsearch.model.pixel_bert import PixelBertForRetrieval, masked_mean
from pixsearch_trainer.batches.draws import Draw, Draws, generator_of
from pixsearch_trainer.batches.sources import PairBatch
from pixsearch_trainer.losses import contrastive_loss, drift_loss
from pixsearch_trainer.objectives.pretraining import mask_words, masked_word_loss
from pixsearch_trainer.objectives.streams import StreamsObjective, StreamsOptions, Texts, sample_pixels

_NEAREST_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class JointOptions(StreamsOptions):
    """The options for training the joint stream (docs/history.md, "A CNN that is trained too")."""

    epochs: float = 0.5
    """The number of epochs, counting only the first picture of each block."""
    batch: int = 8
    """The number of blocks per step and process."""
    block: int = 16
    """The number of pictures per block. The Transformer processes block x block pairs at once."""
    neighbours: int = 64
    """The number of nearest neighbours of a block's first picture from which its other pictures are drawn."""
    caption_likeness: float = 0.7
    """The weight of the captions' similarity relative to the pictures', for choosing neighbours."""
    learning_rate: float = 1e-4
    head_learning_rate: float = 2e-4
    maps_learning_rate: float = 5e-5
    scalar_learning_rate: float = 2e-2
    clip: float | None = 5.0
    looks: int = 4
    pixel_dropout: float = 0.2
    joint_pixels: int = 36
    """The number of pixels that the joint stream reads per picture and step (section 3.3)."""
    joint_softness: float = 0.3
    joint_temperature: float = 0.05
    joint_near_miss_weight: float = 0.5
    """The weight of distinguishing captions from near misses, relative to ITM."""
    masked_share: float = 0.3
    mlm_weight: float = 0.3
    itc_weight: float = 0.5
    late_weight: float = 0.5
    drift_weight: float = 5.0


class JointObjective(StreamsObjective):
    """The objective of the joint stream: match captions and pictures in a block, and keep both streams in place.

    The losses are `itm`, `mlm`, `drift`, those of both streams, and `itm_near_misses` if the data has near misses.
    """

    _options: JointOptions

    def __init__(self, network: PixelBertForRetrieval, texts: Texts, options: JointOptions) -> None:
        super().__init__(network, texts, options)
        self.mlm_head = MaskedWordHead(network.config).to(texts.vectors.device)
        # In a tuple, these layers are not part of the module's state. They never change, and a resumed run copies them
        # again from the network at the start of the stage.
        self._before = (copy.deepcopy(network.model.layers).requires_grad_(False).eval(),)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        network, options = self.network, self._options
        grid, pixel_mask = batch.inputs.grids(network.model)
        embedded, words = network.model.embed_words(batch.ids), network.read_each_word(batch.ids, batch.mask)
        total, losses = self.streams(batch, words, self._near_words(batch), grid, pixel_mask)
        sampled, sampled_mask = sample_pixels(grid, pixel_mask, options.joint_pixels)
        pixels = network.model.embed_pixels(sampled, options.pixel_dropout)
        logits = self._every_pair_of_blocks(batch, embedded, pixels, sampled_mask)
        losses["itm"] = self._matching(batch, logits)
        total = total + losses["itm"]
        if self._texts.has_near_misses and options.joint_near_miss_weight:
            losses["itm_near_misses"] = self._near_misses(batch, logits, pixels, sampled_mask)
            total = total + options.joint_near_miss_weight * losses["itm_near_misses"]
        losses["mlm"] = self._masked_words(batch, pixels, sampled_mask)
        with torch.no_grad():
            before = embedded
            for layer in self._before[0]:
                before = layer(before, batch.mask[:, None, None, :])
        held = drift_loss(words[batch.mask], before[batch.mask])
        held = held + drift_loss(masked_mean(words, batch.mask), self._texts.vectors[batch.captions])
        losses["drift"] = held / 2
        total = total + options.mlm_weight * losses["mlm"] + options.drift_weight * losses["drift"]
        return {"loss": total, **losses}

    def _every_pair_of_blocks(self, batch: PairBatch, words: Tensor, pixels: Tensor, pixel_mask: Tensor) -> Tensor:
        """Return the joint logits of all pairs within each block [blocks, captions, pictures]."""
        size = self._options.block
        blocks = torch.arange(len(batch), device=words.device).view(-1, size)
        rows = blocks[:, :, None].expand(-1, -1, size).flatten()  # captions, each with every picture of its block
        columns = blocks[:, None, :].expand(-1, size, -1).flatten()
        logits = self.network.joint_logit(words[rows], batch.mask[rows], pixels[columns], pixel_mask[columns])
        return logits.view(-1, size, size)

    def _matching(self, batch: PairBatch, logits: Tensor) -> Tensor:
        """Return the softmax cross-entropy in both directions within each block, averaged over blocks."""
        options, shape, losses = self._options, logits.shape[:2], list[Tensor]()
        blocks = zip(batch.pictures.view(shape), batch.captions.view(shape), logits, strict=True)
        for pictures, captions, scores in blocks:
            targets = self._texts.targets(pictures, captions, options.joint_softness, options.joint_temperature)
            losses.append(contrastive_loss(scores, *targets))
        return torch.stack(losses).mean()

    def _near_misses(self, batch: PairBatch, logits: Tensor, pixels: Tensor, pixel_mask: Tensor) -> Tensor:
        """Return the near-miss loss. Each near miss is paired with its own picture and two others from the block."""
        size, rows = self._options.block, (batch.near_misses >= 0).nonzero()[:, 0]
        if not len(rows):
            return logits.new_zeros(())
        within = (rows[:, None] + torch.arange(min(3, size), device=rows.device)) % size  # [rows, pictures]
        shown = (rows // size * size)[:, None] + within
        near, mask = self.network.model.embed_words(batch.near_ids[rows]), batch.near_mask[rows]
        false = [self.network.joint_logit(near, mask, pixels[column], pixel_mask[column]) for column in shown.T]
        return self._near_miss_loss(batch, logits.flatten(0, 1)[rows[:, None], within], false, shown)

    def _masked_words(self, batch: PairBatch, pixels: Tensor, pixel_mask: Tensor) -> Tensor:
        model = self.network.model
        ids, targets = mask_words(batch.ids, self.network.config.vocabulary_size, self._options.masked_share)
        states = model.read_jointly(model.embed_words(ids), batch.mask, pixels, pixel_mask)[:, : ids.shape[1]]
        logits = self.mlm_head(states[targets >= 0], model.word_embedding.word_embeddings.weight)
        return masked_word_loss(logits, targets)


def blocks_of_neighbours(firsts: Draws, neighbours: Tensor, block: int) -> Draw:
    """Return a function that draws the blocks for a step: pictures, each followed by random neighbours.

    Args:
        firsts: the draws of the first picture in each block.
        neighbours: the neighbours of each picture [pictures, n] (see `nearest_pictures`).
        block: the number of pictures per block.
    """

    def draw(step: int) -> Tensor:
        first, generator = firsts.at(step), generator_of(firsts.seed, 3, step)
        order = torch.rand(len(first), neighbours.shape[1], generator=generator).argsort(1)[:, : block - 1]
        return torch.cat([first[:, None], neighbours[first].gather(1, order)], dim=1).flatten()

    return draw


@torch.no_grad()
def nearest_pictures(images: Tensor, sentences: Tensor, caption_likeness: float, count: int) -> Tensor:
    """Return the pictures most similar to each picture, nearest first [pictures, count], on the CPU.

    Args:
        images: the unit embeddings of the pictures [pictures, embedding_size].
        sentences: the mean vector of each picture's captions [pictures, width], not normalised.
        caption_likeness: the weight of the captions' cosine similarity relative to the pictures'.
    """
    vectors = torch.cat([images, caption_likeness**0.5 * F.normalize(sentences, dim=-1)], dim=1)
    nearest = []
    for rows in torch.arange(len(vectors), device=vectors.device).split(_NEAREST_AT_ONCE):
        alike = vectors[rows] @ vectors.T
        alike[torch.arange(len(rows)), rows] = -torch.inf
        nearest.append(alike.topk(min(count, len(vectors) - 1)).indices.cpu())
    return torch.cat(nearest)
