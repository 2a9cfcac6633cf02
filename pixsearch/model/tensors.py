"""Pictures and words as torch tensors, for training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pixsearch.model.backbones import normalisation
from pixsearch.model.processor import PixelBertProcessor


def picture_tensors(processor: PixelBertProcessor, pictures: Sequence[Image.Image]) -> list[Tensor]:
    """Return RGB pictures as scaled and normalised float32 tensors, each [3, height, width]."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalisation(processor.config.backbone))
    resized = (torch.from_numpy(np.array(processor.resize(picture))) for picture in pictures)
    return [(picture.permute(2, 0, 1) / 255 - mean) / std for picture in resized]


def word_tensors(processor: PixelBertProcessor, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the ids and mask [batch, words] of sentences; see `PixelBertProcessor.words`."""
    ids, mask = processor.words(sentences)
    return torch.from_numpy(ids), torch.from_numpy(mask)
