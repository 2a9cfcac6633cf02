"""NLVR2: is the sentence true of its two pictures? (Section 4.2.)"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch_trainer.batches.pairs import PairBatch, grids_of
from pixsearch_trainer.objectives.objective import Objective


class NLVR2Objective(Objective):
    """Cross-entropy over false and true."""

    network: PixelBertForNLVR2

    def __init__(self, network: PixelBertForNLVR2, truths: Tensor) -> None:
        """Args:
        truths: [statements], 1 where the statement is true, else 0.
        """
        super().__init__()
        self.network, self._truths = network, truths

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        logits = self.network(batch.ids, batch.mask, *grids_of(self.network.model, batch))
        statements = batch.pictures[::2].cpu() // 2
        return {"loss": F.cross_entropy(logits.float(), self._truths[statements].to(logits.device))}
