"""The objectives, as functions of small tensors."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_targets(same: Tensor, caption_similarity: Tensor, softness: float, temperature: float = 0.05) -> Tensor:
    """Which picture each caption should find: its own, and a little those whose captions say nearly the same.

    Args:
        same: [captions, pictures], True where the picture has that caption (a caption may belong to several).
        caption_similarity: [captions, pictures], cosine of each caption with the picture's own caption.
        softness: share of the probability that follows the captions' similarity, 0..1.
        temperature: of the softmax over those similarities.

    Returns:
        [captions, pictures], rows sum to 1.
    """
    hard = same.float() / same.float().sum(1, keepdim=True)
    return (1 - softness) * hard + softness * F.softmax(caption_similarity / temperature, dim=1)


def contrastive_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Image-text contrastive loss: pulls each caption to its pictures and each picture to its captions, out of all
    that stand in the batch, by softmax cross-entropy both ways (ALBEF, section 3.2).

    Args:
        logits: [captions, pictures], scores of every pair of the batch.
        targets: [captions, pictures], rows sum to 1; must be symmetric in meaning: caption i belongs to picture i.

    Returns:
        The mean of both directions, a scalar.
    """
    to_pictures = -(targets * F.log_softmax(logits, dim=1)).sum(1).mean()
    to_captions = -(targets.T * F.log_softmax(logits.T, dim=1)).sum(1).mean()
    return (to_pictures + to_captions) / 2


def drift_loss(sentences: Tensor, anchors: Tensor) -> Tensor:
    """Keeps the text stream where it was while its Transformer learns to read pixels: 1 - cosine, the mean over rows.

    Args:
        sentences: [captions, width], as the Transformer reads them now.
        anchors: [captions, width], as it read them before.
    """
    return (1 - F.cosine_similarity(sentences, anchors, dim=1)).mean()


def shared_captions(captions: Tensor) -> Tensor:
    """[n] ids of the captions drawn for n pictures -> [n, n], True where two pictures drew the same caption."""
    return captions[:, None] == captions[None, :]


def captions_loss(logits: Tensor, captions: Tensor, read: Tensor, softness: float, temperature: float) -> Tensor:
    """`contrastive_loss` of pictures with a caption each, by the `soft_targets` of those captions; a scalar.

    Args:
        logits: [n, n], captions x pictures.
        captions: [n] ids of the captions.
        read: [n, width], their unit vectors.
        softness, temperature: see `soft_targets`.
    """
    return contrastive_loss(logits, soft_targets(shared_captions(captions), read @ read.T, softness, temperature))


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """Unit vectors [n, width], [m, width] -> [n, m], in fp32 also where the rest of a step is in bf16.

    What tells two candidates apart is often in the third digit, which bf16 does not have.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return queries.float() @ keys.float().T


def rank_of_first_match(scores: Tensor, matches: Tensor) -> Tensor:
    """The rank (from 1) of the best-scored true item in each row; items of equal score count as ranked before it.

    Args:
        scores: [queries, items].
        matches: [queries, items], True where the item answers the query; at least one a row.
    """
    best = scores.masked_fill(~matches, -torch.inf).amax(1, keepdim=True)
    # Not `scores >= best`: with that a model that gives NaN would have every answer first.
    return (~(scores < best) & ~matches).sum(1) + 1


def same_items(pictures: Tensor, captions: Tensor, other_pictures: Tensor, other_captions: Tensor) -> Tensor:
    """[n], [n], [m], [m] ids -> [n, m], True where pair i and pair j share the picture or the caption.

    Such two are never each other's negatives: a picture's five captions are all true of it.
    """
    return (pictures[:, None] == other_pictures[None, :]) | (captions[:, None] == other_captions[None, :])
