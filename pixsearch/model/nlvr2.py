"""Pixel-BERT for NLVR2: predicts whether a sentence is true of two pictures (section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from pixsearch.model.config import PixelBertConfig
from pixsearch.model.pixel_bert import PixelBertModel
from pixsearch.model.vqa import mlp


class PixelBertForNLVR2(nn.Module):
    """A Pixel-BERT that reads a sentence with each picture and classifies the concatenated [CLS] states with an MLP."""

    def __init__(self, config: PixelBertConfig) -> None:
        super().__init__()
        self.config = config
        self.model = PixelBertModel(config)
        self.truth_head = mlp(2 * config.width, 2)

    def forward(self, ids: Tensor, mask: Tensor, grid: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
        """Return the logits for false and true [batch, 2].

        Each sentence has two consecutive rows in the inputs, for its left and its right picture.

        Args:
            ids, mask: the sentences [2 * batch, words].
            grid, pixel_mask: [2 * batch, pixels, channels], [2 * batch, pixels]; without a mask, all pixels are read.
        """
        read = self.model.read(ids, mask, grid, pixel_mask)[:, 0]
        logits: Tensor = self.truth_head(read.reshape(-1, 2 * read.shape[1]))
        return logits
