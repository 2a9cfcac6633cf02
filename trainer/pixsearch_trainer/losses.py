"""Compute the training losses. Cross-entropy is torch's, which accepts probabilities as targets."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def same_items(pictures: Tensor, captions: Tensor) -> Tensor:
    """Return an array [n, n], True where pairs i and j have the same picture or caption id.

    Such pairs are never negatives of each other, because all captions of a picture are true of it.
    """
    return (pictures[:, None] == pictures[None, :]) | (captions[:, None] == captions[None, :])


def soft_targets(true: Tensor, sentences: Tensor, softness: float, temperature: float) -> Tensor:
    """Return the target pictures of each caption: its own, and to a lesser degree those with similar captions.

    Args:
        true: [n, n], True where caption i is true of picture j.
        sentences: the captions as unit vectors [n, width].
        softness: the share of the probability that depends on the similarity of captions, 0..1.
        temperature: the temperature of the softmax over the similarities.

    Returns:
        Probabilities [n, n]; rows sum to 1. If `true` is transposed, they are the target captions of each picture.
    """
    hard = true.float() / true.sum(1, keepdim=True)
    return (1 - softness) * hard + softness * F.softmax(sentences @ sentences.T / temperature, dim=1)


def contrastive_loss(logits: Tensor, to_pictures: Tensor, to_captions: Tensor) -> Tensor:
    """Return the image-text contrastive loss (ITC; ALBEF, section 3.2): softmax cross-entropy in both directions.

    Args:
        logits: the scores of the pairs [captions, pictures].
        to_pictures: the targets of the captions [captions, pictures]; rows sum to 1.
        to_captions: the targets of the pictures [pictures, captions]; rows sum to 1.

    Returns:
        The mean of both directions, a scalar. The loss is lowest when the softmaxes equal the targets.
    """
    return (F.cross_entropy(logits, to_pictures) + F.cross_entropy(logits.T, to_captions)) / 2


def contrastive_loss_over_processes(
    texts: Tensor, images: Tensor, scale: Tensor, to_pictures: Tensor, to_captions: Tensor
) -> Tensor:
    """Return the `contrastive_loss` of this process's pairs against the pairs of all processes.

    Args:
        texts, images: the unit vectors of this process's pairs [n, width].
        scale: the factor by which cosines are multiplied before the softmax.
        to_pictures, to_captions: the targets for the pairs of all processes [all, all]; rows sum to 1.
    """
    first = len(texts) * (dist.get_rank() if _is_distributed() else 0)
    own = slice(first, first + len(texts))
    captions = F.cross_entropy(scale * cosines(texts, gathered(images)), to_pictures[own])
    pictures = F.cross_entropy(scale * cosines(images, gathered(texts)), to_captions[own])
    return (captions + pictures) / 2


def near_miss_loss(own: Tensor, elsewhere: Tensor, counted: Tensor) -> Tensor:
    """Return a loss that makes the lead of a true text over its near miss larger with its own picture than with others.

    Near misses are invented, and can be recognised by their wording. Without the comparison with other pictures, a
    network would learn which texts sound invented, and ignore the picture.

    Args:
        own: the logit of the true text minus the logit of the near miss, with their own picture [n].
        elsewhere: the same difference with other pictures [n, others].
        counted: [n, others], True for pictures that the true text does not describe. All other pictures are ignored.

    Returns:
        The mean over the rows with at least one picture that counts, a scalar; 0 if there are no such rows.
    """
    usable = counted.any(1)
    mean = (elsewhere * counted).sum(1) / counted.sum(1).clamp(min=1)
    return F.softplus(mean - own)[usable].sum() / usable.sum().clamp(min=1)


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the cosines [n, m] of unit vectors [n, width] and [m, width], in fp32 even under autocast to bf16.

    Scores often differ only in the third digit, which bf16 cannot represent.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return queries.float() @ keys.float().T


def drift_loss(now: Tensor, before: Tensor) -> Tensor:
    """Return the mean of 1 - cosine over rows, a loss that keeps vectors in place while the Transformer is trained.

    Args:
        now, before: the current and the original vectors [rows, width].
    """
    return (1 - F.cosine_similarity(now.float(), before.float(), dim=1)).mean()


def matching_loss(true: Tensor, false: Tensor) -> Tensor:
    """Return the binary image-text matching loss of the logits of true pairs [n] and false pairs [m].

    Both kinds have equal weight. If there are no false pairs, only the true pairs count.
    """
    up = F.binary_cross_entropy_with_logits(true.float(), torch.ones_like(true, dtype=torch.float))
    if not len(false):
        return up
    return (up + F.binary_cross_entropy_with_logits(false.float(), torch.zeros_like(false, dtype=torch.float))) / 2


def ranking_loss(logits: Tensor) -> Tensor:
    """Return the softmax cross-entropy of logits [batch, 1 + negatives], where column 0 is the right answer."""
    return F.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def gathered(local: Tensor) -> Tensor:
    """Gather the rows [batch, ...] of all processes, in order of rank. Gradients flow back.

    Data-parallel training averages gradients over processes. If each process computes its loss over the gathered rows,
    the result is the same as if one process had the whole batch.
    """
    if not _is_distributed():
        return local
    if local.is_floating_point():
        return torch.cat(all_gather(local))
    pieces = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(pieces, local)
    return torch.cat(pieces)


def _is_distributed() -> bool:
    """Return whether training uses several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
