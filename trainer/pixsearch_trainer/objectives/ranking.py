"""Fine-tune for retrieval as in the paper (section 4.2): rank a true caption above the hardest of many false ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixsearch.errors import DatasetError
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.batches.draws import CaptionedSet, generator_of
from pixsearch_trainer.batches.sources import PairBatch
from pixsearch_trainer.losses import ranking_loss
from pixsearch_trainer.run.stage import Objective


@dataclass(frozen=True)
class RankingBatch(PairBatch):
    """A batch of pairs, each with additional captions from other pictures."""

    other_ids: Tensor
    """The words of the other captions [batch, others, words]."""
    other_mask: Tensor
    """The mask of `other_ids` [batch, others, words], False for padding."""


def add_others(
    pairs: PairBatch, step: int, data: CaptionedSet, processor: PixelBertProcessor, others: int
) -> RankingBatch:
    """Add random captions from other pictures to each pair. Raises DatasetError if no other captions exist."""
    chosen = list[str]()
    for picture in pairs.pictures.tolist():
        own, sentences = set(data.captions.of_picture[picture]), data.captions.sentences
        if len(own) == len(sentences):
            raise DatasetError("all pictures have the same captions", "Provide pictures with different captions")
        generator, drawn = generator_of(data.seed, 4, step, picture), list[int]()
        while len(drawn) < others:
            more = torch.randint(len(sentences), (others,), generator=generator).tolist()
            drawn += (caption for caption in more if caption not in own)
        chosen += (sentences[caption] for caption in drawn[:others])
    shape, device = (len(pairs), others, -1), pairs.ids.device
    ids, mask = (tensor.view(shape).to(device) for tensor in word_tensors(processor, chosen))
    return RankingBatch(**vars(pairs), other_ids=ids, other_mask=mask)


class RankingObjective(Objective):
    """Minimise the softmax cross-entropy of each picture's caption against other captions, scored by the joint stream.

    The paper has no similarity and no late interaction, so both are removed from the logit.
    """

    def __init__(self, network: PixelBertForRetrieval, hardest: int) -> None:
        """Build the objective.

        Args:
            hardest: the number of highest-scoring false captions per picture that receive a gradient.
        """
        super().__init__()
        self.network, self._hardest = network, hardest
        for weight in (network.similarity_weight, network.late_weight, network.late_interaction.scale):
            weight.data.zero_()
            weight.requires_grad_(False)

    def forward(self, batch: RankingBatch) -> dict[str, Tensor]:
        grid, pixel_mask = batch.inputs.grids(self.network.model)
        with torch.no_grad():
            negatives = self._score(batch.other_ids, batch.other_mask, grid, pixel_mask)  # [batch, others]
        hardest = negatives.topk(min(self._hardest, negatives.shape[1])).indices
        rows = torch.arange(len(batch), device=hardest.device)[:, None]
        positive = self._score(batch.ids[:, None], batch.mask[:, None], grid, pixel_mask)
        hard = self._score(batch.other_ids[rows, hardest], batch.other_mask[rows, hardest], grid, pixel_mask)
        return {"loss": ranking_loss(torch.cat([positive, negatives.scatter(1, hardest, hard)], dim=1))}

    def _score(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor) -> Tensor:
        """Return the logits [batch, captions] for captions [batch, captions, words] and the pictures of the batch."""
        model, captions = self.network.model, ids.shape[1]
        words, pixels = model.embed_words(ids.flatten(0, 1)), model.embed_pixels(grid)
        pixels, pixel_mask = (tensor.repeat_interleave(captions, dim=0) for tensor in (pixels, pixel_mask))
        return self.network.joint_logit(words, mask.flatten(0, 1), pixels, pixel_mask).view(-1, captions)
