"""Pre-train (section 3.3): predict masked words from words and pixels, and distinguish true pairs from false ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.masked_words import MaskedWordHead
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.sources import PairBatch
from pixsearch_trainer.losses import gathered, matching_loss, same_items
from pixsearch_trainer.objectives.streams import sample_pixels
from pixsearch_trainer.run.stage import Objective

MASK_TOKEN = 103
"""The id of [MASK] in bert-base-uncased's WordPiece vocabulary, which all checkpoints use."""
FIRST_WORD = 999
"""The first id of a word in bert-base-uncased's vocabulary, after [PAD], unused ids, [UNK], [CLS], [SEP], [MASK]."""
_SPECIAL = (0, 101, 102)  # [PAD], [CLS], [SEP]
IGNORED = -100
"""The target for words that are not predicted."""


class PreTrainingObjective(Objective):
    """Minimise the sum of the losses `mlm` and `itm` on sampled pixels.

    Each part can be turned off, as in the paper's ablation (table 6).
    """

    def __init__(
        self,
        network: PixelBertForRetrieval,
        *,
        masked_words: bool = True,
        matching: bool = True,
        sampling: bool = True,
    ) -> None:
        super().__init__()
        self.network, self._masked_words, self._matching, self._sampling = network, masked_words, matching, sampling
        self.mlm_head = MaskedWordHead(network.config).to(network.model.semantic_embedding.device)

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        model = self.network.model
        grid, pixel_mask = batch.inputs.grids(model)
        if self._sampling and self.training:
            grid, pixel_mask = sample_for_pretraining(grid, pixel_mask)
        ids, targets = batch.ids, torch.full_like(batch.ids, IGNORED)
        if self._masked_words:
            # The false pairs use the same masked words. Otherwise, masks would reveal the true pairs.
            ids, targets = mask_words(batch.ids, self.network.config.vocabulary_size)
        true = model.read(ids, batch.mask, grid, pixel_mask)
        losses = {}
        if self._masked_words:
            hidden = true[:, : ids.shape[1]][targets != IGNORED]
            logits = self.mlm_head(hidden, model.word_embedding.word_embeddings.weight)
            # Processes mask different numbers of words. This weight makes the mean over processes a mean over words.
            counts = gathered(torch.tensor([len(logits)], device=logits.device)) if self.training else None
            share = 1.0 if counts is None else len(logits) / counts.float().mean().item()
            losses["mlm"] = share * masked_word_loss(logits, targets)
        if self._matching:
            others = draw_others(batch.pictures, batch.captions)
            paired = others >= 0
            false = model.read(ids[others[paired]], batch.mask[others[paired]], grid[paired], pixel_mask[paired])
            logits = [self.network.itm_head(states[:, 0]).squeeze(-1) for states in (true, false)]
            losses["itm"] = matching_loss(*logits)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def mask_words(ids: Tensor, vocabulary: int, share: float = 0.15) -> tuple[Tensor, Tensor]:
    """Choose words to predict (15 % by default). As in BERT, 80 % become [MASK], 10 % a random word, and 10 % stay.

    Args:
        ids: the ids of the words [batch, words].

    Returns:
        The ids to read, and the targets [batch, words]: the true id of each word to predict, and IGNORED for all other
        words. At least one word per sentence is predicted.
    """
    special = torch.isin(ids, torch.tensor(_SPECIAL, device=ids.device))
    chance = torch.rand(ids.shape, device=ids.device).masked_fill(special, 2.0)
    chosen = (chance < share) | (chance == chance.amin(1, keepdim=True)) & ~special
    targets = ids.masked_fill(~chosen, IGNORED)
    fate = torch.rand(ids.shape, device=ids.device)
    any_word = torch.randint(min(FIRST_WORD, vocabulary - 1), vocabulary, ids.shape, device=ids.device)
    read = torch.where(chosen & (fate < 0.8), MASK_TOKEN, ids)
    return torch.where(chosen & (fate >= 0.9), any_word, read), targets


def masked_word_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of predicted words, from logits [predicted, vocabulary] and targets [batch, words]."""
    return F.cross_entropy(logits.float(), targets[targets != IGNORED])


def draw_others(pictures: Tensor, captions: Tensor) -> Tensor:
    """Return, for each picture, the index of a random caption in the batch that is false of it; -1 if there is none.

    Args:
        pictures, captions: the ids of the pairs [batch]. A caption that was drawn for two pictures describes both.
    """
    false = ~same_items(pictures, captions)
    possible = false.any(1)
    drawn = torch.multinomial(torch.where(possible[:, None], false.float(), 1.0), 1).squeeze(1)
    return torch.where(possible, drawn, -1)


def sample_for_pretraining(grid: Tensor, pixel_mask: Tensor, count: int = 100) -> tuple[Tensor, Tensor]:
    """Sample 100 pixels of each picture, as in the paper (section 3.3), or half of them if there are fewer than 200.

    The paper's grids have about 240 pixels. Ours may have only 49, so sampling 100 would take all of them. The
    arguments and the result are the same as for `sample_pixels`.
    """
    wanted = ((pixel_mask.sum(1) + 1) // 2).clamp(max=count)  # [pictures]
    sampled, mask = sample_pixels(grid, pixel_mask, int(wanted.max()))
    return sampled, mask & (torch.arange(mask.shape[1], device=mask.device) < wanted[:, None])
