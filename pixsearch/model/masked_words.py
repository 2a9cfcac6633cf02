"""The head that predicts masked words (MLM; Pixel-BERT, section 3.3). It is only used in pre-training and not saved."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig


class MaskedWordHead(nn.Module):
    """BERT's head (Devlin et al., 2019): a dense layer, GELU, LayerNorm, then the word embeddings as output weights."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))

    def forward(self, states: Tensor, word_embeddings: Tensor) -> Tensor:
        """Map states [n, width] to logits [n, vocabulary] using word embeddings [vocabulary, width]."""
        return F.linear(self.norm(F.gelu(self.dense(states))), word_embeddings, self.bias)
