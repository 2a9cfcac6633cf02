"""VQA and NLVR2 (section 4.2): small heads on the joint stream's [CLS]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.vqa import PixelBertForVQA
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.run.stage import Objective


class VQAObjective(Objective):
    """Binary cross-entropy over the answers, whose targets are what VQA's measure would give for them."""

    def __init__(self, network: PixelBertForVQA, targets: Sequence[Mapping[int, float]]) -> None:
        """Args:
        targets: for each question the places of its answers in the config, and what they are worth, 0..1.
        """
        super().__init__()
        self.network, self._targets = network, targets

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        logits = self.network(batch.ids, batch.mask, *batch.seen.grids(self.network.model)).float()
        targets = torch.zeros(logits.shape)
        for row, question in enumerate(batch.pictures.tolist()):
            for answer, worth in self._targets[question].items():
                targets[row, answer] = worth
        loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits.device), reduction="sum")
        return {"loss": loss / len(logits)}


class NLVR2Objective(Objective):
    """Cross-entropy over false and true."""

    def __init__(self, network: PixelBertForNLVR2, truths: Tensor) -> None:
        """Args:
        truths: [statements], 1 where the statement is true, else 0.
        """
        super().__init__()
        self.network, self._truths = network, truths

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        logits = self.network(batch.ids, batch.mask, *batch.seen.grids(self.network.model))
        statements = batch.pictures[::2].cpu() // 2
        return {"loss": F.cross_entropy(logits.float(), self._truths[statements].to(logits.device))}
