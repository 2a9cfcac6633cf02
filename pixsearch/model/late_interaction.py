"""Late interaction: each word looks for the pixel that shows it, words and pixels each read alone.

Between the first stage, which compares one vector with one vector, and the joint stream, which reads everything with
everything: cheap enough to be trained on a batch's every pair, and so it learns in minutes on a CPU what takes a GPU in
the joint stream. The score is ColBERT's (Khattab and Zaharia, 2020), between words and pixels as in FILIP (Yao et al.,
2021); weights and offsets of words are ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig


class LateInteraction(nn.Module):
    """Maps words and pixels into a space of their own and scores how well a picture shows what a sentence says."""

    def __init__(self, config: PixelBertConfig, channels: int) -> None:
        super().__init__()
        self.pixel_hidden = nn.Linear(channels, config.image_map_hidden)
        self.pixel_map = nn.Linear(config.image_map_hidden, config.embedding_size)
        self.word_map = nn.Linear(config.width, config.embedding_size)
        self.word_weight = nn.Linear(config.width, 1)
        self.word_offset = nn.Linear(config.width, 1)
        for alike in (self.word_weight, self.word_offset):  # all words count alike at first
            nn.init.zeros_(alike.weight)
            nn.init.zeros_(alike.bias)
        # A module that was not trained has nothing to say; its stage opens it.
        self.scale = nn.Parameter(torch.zeros(()))

    @property
    def closed(self) -> bool:
        """Whether every score is 0."""
        return self.scale.item() == 0

    def forward(self, words: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Logits of sentences with pictures, pair by pair, [batch]; one sentence or one picture goes with all others.

        Args:
            words, mask: [batch, words, width] as the text stream leaves them, [batch, words].
            grid, pixel_mask: [batch, pixels, channels], standardised, and [batch, pixels]; without a mask all are read.
        """
        weight, offset = self.weigh(words, mask)
        vectors, pixels = self.map_words(words), self.map_pixels(grid)
        with torch.autocast(grid.device.type, enabled=False):  # what tells candidates apart is in the third digit
            cosine = vectors @ pixels.transpose(1, 2)  # [batch, words, pixels]
            if pixel_mask is not None:
                cosine = cosine.masked_fill(~pixel_mask[:, None], -torch.inf)
            return (weight * cosine.amax(2)).sum(1) + offset

    def every_pair(self, words: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor) -> Tensor:
        """The same of every sentence with every picture, [sentences, pictures]."""
        weight, offset = self.weigh(words, mask)
        vectors, pixels = self.map_words(words), self.map_pixels(grid)
        with torch.autocast(grid.device.type, enabled=False):
            cosine = torch.einsum("swe,pke->swpk", vectors, pixels)
            nearest = cosine.masked_fill(~pixel_mask, -torch.inf).amax(3)
            return torch.einsum("swp,sw->sp", nearest, weight) + offset[:, None]

    def map_words(self, words: Tensor) -> Tensor:
        """Words [batch, words, width] -> unit vectors [batch, words, embedding_size], fp32."""
        return F.normalize(self.word_map(words).float(), dim=-1)

    def map_pixels(self, grid: Tensor) -> Tensor:
        """Standardised grids [batch, pixels, channels] -> unit vectors [batch, pixels, embedding_size], fp32."""
        return F.normalize(self.pixel_map(F.gelu(self.pixel_hidden(grid))).float(), dim=-1)

    def weigh(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each word's cosine counts [batch, words], and what a sentence has whatever the picture shows
        [batch]; words [batch, words, width]."""
        share = self.word_weight(words)[..., 0].float().masked_fill(~mask, -torch.inf).softmax(1)
        return self.scale * share, (share * self.word_offset(words)[..., 0].float()).sum(1)
