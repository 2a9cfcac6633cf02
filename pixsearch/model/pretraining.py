"""Pixel-BERT with the heads of its pre-training: masked words and image-text matching (section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertModel


class MaskedWordHead(nn.Module):
    """BERT's: dense, GELU, LayerNorm, then the word embeddings as the last layer's weights (Devlin et al., 2019)."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))

    def forward(self, states: Tensor, word_embeddings: Tensor) -> Tensor:
        """States [n, width] and word embeddings [vocabulary, width] -> logits [n, vocabulary]."""
        return F.linear(self.norm(F.gelu(self.dense(states))), word_embeddings, self.bias)


class PixelBertForPreTraining(nn.Module):
    """Predicts masked words from words and pixels (MLM), and whether sentence and picture belong together (ITM)."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.model = PixelBertModel(config)
        self.mlm_head = MaskedWordHead(config)
        self.itm_head = nn.Sequential(nn.Linear(config.width, config.width), nn.Tanh(), nn.Linear(config.width, 1))

    def predict_words(self, states: Tensor) -> Tensor:
        """States of masked words [n, width] -> logits over the vocabulary [n, vocabulary]."""
        words = self.model.word_embedding.word_embeddings.weight
        logits: Tensor = self.mlm_head(states, words)
        return logits

    def match(self, states: Tensor) -> Tensor:
        """The joint states [batch, words + pixels, width] -> ITM logits [batch], from [CLS]."""
        logits: Tensor = self.itm_head(states[:, 0]).squeeze(-1)
        return logits
