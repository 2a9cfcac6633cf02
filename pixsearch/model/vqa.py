"""Pixel-BERT for VQA: answers questions about pictures (section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertModel


class PixelBertForVQA(nn.Module):
    """A Pixel-BERT with an MLP on [CLS] that returns a logit for each answer in the config."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.model = PixelBertModel(config)
        self.answer_head = mlp(config.width, len(config.answers))

    def forward(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the logits for all answers to questions about pictures [batch, answers].

        Args:
            ids, mask: the questions [batch, words].
            grid, pixel_mask: [batch, pixels, channels], [batch, pixels]; without a mask, all pixels are read.
        """
        logits: Tensor = self.answer_head(self.model.read(ids, mask, grid, pixel_mask)[:, 0])
        return logits


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Return the head for VQA and NLVR2, whose hidden layer is twice as wide as its input."""
    hidden = 2 * inputs
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, outputs))
