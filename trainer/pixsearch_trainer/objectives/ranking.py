"""The paper's retrieval fine-tuning (section 4.2): a true caption among false ones, the hardest of which teach."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.pairs import PairBatch, grids_of
from pixsearch_trainer.objectives.objective import Objective


@dataclass(frozen=True)
class RankingOptions:
    """The paper's numbers."""

    negatives: int = 20
    hardest: int = 5


class RankingObjective(Objective):
    """Softmax cross-entropy of each picture's caption against 20 of other pictures, by the joint stream's head alone.

    The similarity, late interaction and the likeness of words to pixels, which are ours, are taken out of the logit.
    """

    network: PixelBertForRetrieval

    def __init__(self, network: PixelBertForRetrieval, options: RankingOptions) -> None:
        super().__init__()
        self.network, self.options = network, options
        for weight in (network.similarity_weight, network.late_weight, network.late_interaction.scale):
            weight.data.zero_()
            weight.requires_grad_(False)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        assert batch.other_ids is not None
        assert batch.other_mask is not None
        grid, pixel_mask = grids_of(self.network.model, batch)
        with torch.no_grad():
            negatives = self._score(batch.other_ids, batch.other_mask, grid, pixel_mask)  # [batch, negatives]
        hardest = negatives.topk(min(self.options.hardest, negatives.shape[1])).indices
        rows = torch.arange(len(batch), device=hardest.device)[:, None]
        positive = self._score(batch.ids[:, None], batch.mask[:, None], grid, pixel_mask)
        hard = self._score(batch.other_ids[rows, hardest], batch.other_mask[rows, hardest], grid, pixel_mask)
        logits = torch.cat([positive, negatives.scatter(1, hardest, hard)], dim=1)
        return {"loss": ranking_loss(logits)}

    def _score(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor) -> Tensor:
        """Logits [batch, captions] of ids, mask [batch, captions, words] with the batch's pictures."""
        pictures, captions = ids.shape[:2]
        logits = self.network.match(
            ids.flatten(0, 1),
            mask.flatten(0, 1),
            grid.repeat_interleave(captions, dim=0),
            grid.new_zeros(pictures * captions),
            pixel_mask.repeat_interleave(captions, dim=0),
        )
        return logits.view(pictures, captions)


def ranking_loss(logits: Tensor) -> Tensor:
    """Pulls column 0 above all others in each row: logits [batch, 1 + negatives] -> the mean softmax cross-entropy."""
    return F.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.long, device=logits.device))
