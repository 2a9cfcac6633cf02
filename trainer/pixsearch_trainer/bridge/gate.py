"""How far the Transformer's own reading of pixels goes into the image embedding."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.bridge.choosing import best_value
from pixsearch_trainer.losses import rank_of_first_match

GATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


@torch.no_grad()
def open_gate(
    model: PixelBertForRetrieval, texts: Tensor, mapped: Tensor, read: Tensor, matches: Tensor
) -> dict[float, float]:
    """Set the image stream's projection and gate in place: the gate that ranks best on held-out pictures.

    Pixels read alone come out where sentences do (`train_pixel_stream`), so the projection is the text stream's map.
    The gate is one number, and chosen rather than trained: on the training pictures the Transformer knows too much.

    Args:
        texts: unit embeddings of captions [captions, embedding_size].
        mapped: what the map makes of the pictures [pictures, embedding_size], not normalised.
        read: what the Transformer makes of their pixels [pictures, width].
        matches: [captions, pictures], True where the caption is the picture's.

    Returns:
        For each gate that was tried the mean R@1 of both directions, percent.
    """
    # The map takes vectors of length sqrt(width), and the projection what the Transformer gives.
    scale = math.sqrt(read.shape[1]) / read.norm(dim=1).mean()
    model.image_projection.weight.copy_(model.maps.text_map.weight * scale)
    model.image_projection.bias.copy_(model.maps.text_map.bias)
    # Both parts at one length, so that a gate means the same in every model.
    projected = model.image_projection(read)
    ratio = mapped.norm(dim=1).mean() / projected.norm(dim=1).mean()
    reached = {}
    for gate in GATES:
        similarity = texts @ F.normalize(mapped + gate * ratio * projected, dim=1).T
        ranks = [rank_of_first_match(similarity, matches), rank_of_first_match(similarity.T, matches.T)]
        reached[gate] = sum(100 * (rank == 1).float().mean().item() for rank in ranks) / 2
    model.image_gate.fill_(best_value(reached, 0.0) * ratio.item())
    return reached
