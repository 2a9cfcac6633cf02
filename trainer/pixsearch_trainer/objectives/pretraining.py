"""Pre-training (section 3.3): masked words are predicted from words and pixels, and true pairs told from false ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch_trainer.batches.pairs import PairBatch, grids_of
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.processes import mean_over_processes
from pixsearch_trainer.objectives.sampling import sample_for_pretraining

MASK_TOKEN = 103
"""The id of [MASK] in bert-base-uncased's WordPiece vocabulary, which every checkpoint here uses."""
FIRST_WORD = 999
"""Ids below are [PAD], the unused ones, [UNK], [CLS], [SEP] and [MASK] in bert-base-uncased's vocabulary."""
_SPECIAL = (0, 101, 102)  # [PAD], [CLS], [SEP]
IGNORED = -100
"""The target of a word that need not be predicted."""


@dataclass(frozen=True)
class PreTrainingOptions:
    """Each can be left out, as the paper's ablation does (table 6)."""

    masked_words: bool = True
    matching: bool = True
    sampling: bool = True


class PreTrainingObjective(Objective):
    """MLM + ITM, with pixels sampled; the losses are `mlm` and `itm`, their sum is minimised."""

    network: PixelBertForPreTraining

    def __init__(self, network: PixelBertForPreTraining, options: PreTrainingOptions) -> None:
        super().__init__()
        self.network, self.options = network, options

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        grid, pixel_mask = grids_of(self.network.model, batch)
        if self.options.sampling and self.training:
            grid, pixel_mask = sample_for_pretraining(grid, pixel_mask)
        ids, targets = batch.ids, torch.full_like(batch.ids, IGNORED)
        if self.options.masked_words:
            # The false pairs are masked as well: else a mask would tell a true pair.
            ids, targets = mask_words(batch.ids, self.network.config.vocabulary_size)
        read = self.network.model.read
        true = read(ids, batch.mask, grid, pixel_mask)
        losses = {}
        if self.options.masked_words:
            hidden = true[:, : ids.shape[1]]
            logits = self.network.predict_words(hidden[targets != IGNORED])
            # Processes mask different numbers of words; with this weight the mean of their losses is that of all words.
            share = len(logits) / mean_over_processes(len(logits), batch.ids.device) if self.training else 1.0
            losses["mlm"] = share * masked_word_loss(logits, targets)
        if self.options.matching:
            others = draw_others(batch.pictures, batch.captions)
            paired = others >= 0
            false = read(ids[others[paired]], batch.mask[others[paired]], grid[paired], pixel_mask[paired])
            losses["itm"] = matching_loss(self.network.match(true), self.network.match(false))
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def mask_words(ids: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """15 % of the words are to be predicted; of these 80 % become [MASK], 10 % any word, 10 % stay (BERT).

    Args:
        ids: [batch, words].

    Returns:
        The ids as they are read, and the targets [batch, words]: the true id where a word is to be predicted, else
        IGNORED. A sentence of which nothing was chosen is to predict one of its words all the same.
    """
    special = torch.isin(ids, torch.tensor(_SPECIAL, device=ids.device))
    chance = torch.rand(ids.shape, device=ids.device).masked_fill(special, 2.0)
    chosen = (chance < 0.15) | (chance == chance.amin(1, keepdim=True)) & ~special
    targets = ids.masked_fill(~chosen, IGNORED)
    fate = torch.rand(ids.shape, device=ids.device)
    first = min(FIRST_WORD, vocabulary - 1)
    any_word = torch.randint(first, vocabulary, ids.shape, device=ids.device)
    read = torch.where(chosen & (fate < 0.8), MASK_TOKEN, ids)
    return torch.where(chosen & (fate >= 0.9), any_word, read), targets


def masked_word_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the words to be predicted: logits [predicted, vocabulary], targets [batch, words]."""
    return F.cross_entropy(logits.float(), targets[targets != IGNORED])


def draw_others(pictures: Tensor, captions: Tensor) -> Tensor:
    """For each picture the place of another one in the batch whose caption is false for it, at random; -1 if none is.

    Args:
        pictures, captions: [batch], ids; a caption drawn by two pictures is false for neither.
    """
    false = (pictures[:, None] != pictures[None, :]) & (captions[:, None] != captions[None, :])
    possible = false.any(1)
    drawn = torch.multinomial(torch.where(possible[:, None], false.float(), 1.0), 1).squeeze(1)
    return torch.where(possible, drawn, -1)


def matching_loss(true: Tensor, false: Tensor) -> Tensor:
    """Binary cross-entropy: pushes the logits of true pairs [n] up and those of false pairs [m] down, each by half."""
    up = F.binary_cross_entropy_with_logits(true.float(), torch.ones_like(true, dtype=torch.float))
    if not len(false):
        return up
    return (up + F.binary_cross_entropy_with_logits(false.float(), torch.zeros_like(false, dtype=torch.float))) / 2
