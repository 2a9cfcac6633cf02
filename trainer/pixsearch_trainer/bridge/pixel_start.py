"""A start for the pixel projection from which a language model can read pixels at once."""

from __future__ import annotations

import torch
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertModel

_COMMON = 0.1  # a word in more than this share of the pictures says little of any of them
_RIDGE = 0.05


@torch.no_grad()
def start_pixels_as_words(model: PixelBertModel, means: Tensor, word_counts: Tensor) -> None:
    """Set the pixel projection so that the mean of a picture's pixels lies where its captions' words lie.

    Closed-form ridge regression from the mean grid to the mean of the captions' word embeddings, rare words weighing
    more. Without it the Transformer first has to find out that pixels say anything at all.

    Args:
        model: changed in place; its statistics must have been fitted.
        means: [pictures, channels], the mean of each picture's grid.
        word_counts: [pictures, vocabulary], sparse: how often each word stands in the picture's captions.
    """
    counts = word_counts.coalesce()
    pictures_with = torch.zeros(counts.shape[1]).index_add_(0, counts.indices()[1], torch.ones(counts.values().shape))
    weight = torch.log(len(means) / pictures_with.clamp(min=1)) * (pictures_with < max(2, _COMMON * len(means)))
    embeddings = model.word_embedding
    vectors = embeddings.LayerNorm(embeddings.word_embeddings.weight + embeddings.token_type_embeddings.weight[0])
    summed = torch.sparse.mm(word_counts, weight[:, None] * vectors)
    total = torch.sparse.mm(word_counts, weight[:, None])
    described = total[:, 0] > 0
    if not described.any():  # all pictures have the same words, and there is nothing to tell them apart by
        return
    targets, features = (summed / total.clamp(min=1e-6))[described], model.standardise(means)[described]
    mean = targets.mean(0)
    gram = features.T @ features
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    solution = torch.linalg.solve(gram, features.T @ (targets - mean))  # [channels, width]
    model.pixel_projection.weight.copy_(solution.T)
    model.pixel_projection.bias.copy_(mean)
