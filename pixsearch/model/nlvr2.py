"""Pixel-BERT for NLVR2: predict whether a sentence is true of two pictures (section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertModel
from pixsearch.model.vqa import mlp


class PixelBertForNLVR2(nn.Module):
    """A Pixel-BERT that reads the sentence with each picture and classifies both [CLS], concatenated, with an MLP."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.model = PixelBertModel(config)
        self.truth_head = mlp(2 * config.width, 2)

    def forward(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the logits of false and true [batch, 2], from two rows per sentence, for its left and right pictures.

        Args:
            ids, mask: [2 * batch, words].
            grid, pixel_mask: [2 * batch, pixels, channels], [2 * batch, pixels]; without a mask all pixels are read.
        """
        read = self.model.read(ids, mask, grid, pixel_mask)[:, 0]
        logits: Tensor = self.truth_head(read.reshape(-1, 2 * read.shape[1]))
        return logits
