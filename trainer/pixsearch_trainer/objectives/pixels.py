"""Teaches a frozen Transformer to read pixels: ITC through it, on nothing but the pixels' way in.

The joint stream learns nothing while pixels are noise to the Transformer. Here a picture's pixels, read alone, are to
come out where its captions come out. Only the pixel projection, its norm and s_v are trained, half a million numbers,
so a few thousand pictures suffice and the text stream stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.objectives.maps import ContrastiveOptions, itc
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.run.stage import Objective


@dataclass(frozen=True, kw_only=True)
class PixelsOptions(ContrastiveOptions):
    """How pixels are taught to be read."""

    steps: int | None = 300
    batch: int = 192
    weight_decay: float = 0.05
    scale_learning_rate: float = 1e-2
    feature_dropout: float = 0.5
    sampled_pixels: int = 24


class PixelsObjective(Objective):
    """A picture's pixels, read alone, are to come out where its caption comes out, and not where others do."""

    def __init__(self, network: PixelBertForRetrieval, sentences: Tensor, options: PixelsOptions) -> None:
        """Args:
        sentences: all captions as the text stream reads them, unit vectors [captions, width].
        """
        super().__init__()
        self.network, self._sentences, self._options = network, sentences, options
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=sentences.device))

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        options = self._options
        grid, pixel_mask = sample_pixels(*batch.seen.grids(self.network.model), options.sampled_pixels)
        pictures = F.normalize(self.network.read_pixels(grid, options.feature_dropout, pixel_mask).float(), dim=-1)
        texts, scale = self._sentences[batch.captions], self.log_scale.exp().clamp(max=100)
        return itc(texts, pictures, scale, batch, self._sentences, options, teacher=None)
