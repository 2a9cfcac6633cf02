"""VQA: every answer is judged by itself (section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.vqa import PixelBertForVQA
from pixsearch_trainer.batches.pairs import PairBatch, grids_of
from pixsearch_trainer.objectives.objective import Objective


class VQAObjective(Objective):
    """Binary cross-entropy over the answers, whose targets are what VQA's measure would give for them."""

    network: PixelBertForVQA

    def __init__(self, network: PixelBertForVQA, targets: Sequence[Mapping[int, float]]) -> None:
        """Args:
        targets: for each question the places of its answers in the config, and what they are worth, 0..1.
        """
        super().__init__()
        self.network, self._targets = network, targets

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        logits = self.network(batch.ids, batch.mask, *grids_of(self.network.model, batch)).float()
        targets = torch.zeros(logits.shape)
        for row, question in enumerate(batch.pictures.tolist()):
            for answer, worth in self._targets[question].items():
                targets[row, answer] = worth
        loss = F.binary_cross_entropy_with_logits(logits, targets.to(logits.device), reduction="sum")
        return {"loss": loss / len(logits)}
