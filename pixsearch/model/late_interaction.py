"""Late interaction: words and pixels are encoded separately, then each word is compared with every pixel.

It comes between the first stage, which compares two vectors, and the joint stream, which reads all words and pixels
together. It is cheap enough to train on all pairs in a batch, so it learns in minutes on a CPU what the joint stream
needs a GPU to learn. The score comes from ColBERT (Khattab and Zaharia, 2020) and compares words with pixels as in
FILIP (Yao et al., 2021). The word weights and offsets are our own addition.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig


class LateInteraction(nn.Module):
    """Maps words and pixels into a shared space and scores how well a sentence describes a picture."""

    def __init__(self, config: PixelBertConfig, channels: int) -> None:
        super().__init__()
        self.pixel_hidden = nn.Linear(channels, config.image_map_hidden)
        self.pixel_map = nn.Linear(config.image_map_hidden, config.embedding_size)
        self.word_map = nn.Linear(config.width, config.embedding_size)
        self.word_weight = nn.Linear(config.width, 1)
        self.word_offset = nn.Linear(config.width, 1)
        for layer in (self.word_weight, self.word_offset):  # all words count equally at first
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # An untrained module gives every pair a score of 0. Training changes the scale.
        self.scale = nn.Parameter(torch.zeros(()))

    @property
    def closed(self) -> bool:
        """True if the module is untrained, so that every score is 0."""
        return self.scale.item() == 0

    def forward(self, words: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the logits for pairs of sentences and pictures [batch].

        All pairs may share a single sentence or picture.

        Args:
            words, mask: the outputs of the text stream [batch, words, width] and their mask [batch, words].
            grid, pixel_mask: the standardised grids [batch, pixels, channels] and their mask [batch, pixels]; without a
                mask, all pixels are read.
        """
        weight, offset = self.weigh(words, mask)
        vectors, pixels = self.map_words(words), self.map_pixels(grid)
        with torch.autocast(grid.device.type, enabled=False):  # candidates' scores differ only in the third digit
            cosine = vectors @ pixels.transpose(1, 2)  # [batch, words, pixels]
            if pixel_mask is not None:
                cosine = cosine.masked_fill(~pixel_mask[:, None], -torch.inf)
            return (weight * cosine.amax(2)).sum(1) + offset

    def every_pair(self, words: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor) -> Tensor:
        """Return the logits for every sentence with every picture [sentences, pictures]."""
        weight, offset = self.weigh(words, mask)
        vectors, pixels = self.map_words(words), self.map_pixels(grid)
        with torch.autocast(grid.device.type, enabled=False):
            cosine = torch.einsum("swe,pke->swpk", vectors, pixels)
            nearest = cosine.masked_fill(~pixel_mask, -torch.inf).amax(3)
            return torch.einsum("swp,sw->sp", nearest, weight) + offset[:, None]

    def map_words(self, words: Tensor) -> Tensor:
        """Map words [batch, words, width] to unit vectors [batch, words, embedding_size], fp32."""
        return F.normalize(self.word_map(words).float(), dim=-1)

    def map_pixels(self, grid: Tensor) -> Tensor:
        """Map standardised grids [batch, pixels, channels] to unit vectors [batch, pixels, embedding_size], fp32."""
        return F.normalize(self.pixel_map(F.gelu(self.pixel_hidden(grid))).float(), dim=-1)

    def weigh(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight of each word's cosine [batch, words] and the constant offset of each sentence [batch].

        `words` are the outputs of the text stream [batch, words, width].
        """
        share = self.word_weight(words)[..., 0].float().masked_fill(~mask, -torch.inf).softmax(1)
        return self.scale * share, (share * self.word_offset(words)[..., 0].float()).sum(1)
