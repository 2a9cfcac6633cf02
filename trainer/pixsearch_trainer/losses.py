"""The losses, as functions of small tensors. Cross-entropy is torch's, which accepts probabilities as targets."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def same_items(pictures: Tensor, captions: Tensor) -> Tensor:
    """Return [n, n] from ids [n] and [n], True where pairs i and j share the picture or the caption.

    Two such pairs are never negatives of each other: a picture's five captions are all true of it.
    """
    return (pictures[:, None] == pictures[None, :]) | (captions[:, None] == captions[None, :])


def soft_targets(true: Tensor, sentences: Tensor, softness: float, temperature: float) -> Tensor:
    """Return the pictures that each caption should find: its own, and to a small degree those with similar captions.

    Args:
        true: [n, n], True where caption i is true of picture j.
        sentences: the captions as unit vectors [n, width].
        softness: the share of the probability that follows the captions' similarity, 0..1.
        temperature: the temperature of the softmax over those similarities.

    Returns:
        Probabilities [n, n]; rows sum to 1. With `true` transposed, the captions that each picture should find.
    """
    hard = true.float() / true.sum(1, keepdim=True)
    return (1 - softness) * hard + softness * F.softmax(sentences @ sentences.T / temperature, dim=1)


def contrastive_loss(logits: Tensor, to_pictures: Tensor, to_captions: Tensor) -> Tensor:
    """Image-text contrastive loss (ITC; ALBEF, section 3.2): pull each caption to its pictures and each picture to its
    captions, out of all in the batch, by softmax cross-entropy both ways.

    Args:
        logits: the scores of the pairs [captions, pictures].
        to_pictures: the targets of the captions [captions, pictures]; rows sum to 1.
        to_captions: the targets of the pictures [pictures, captions]; rows sum to 1.

    Returns:
        The mean of both directions, a scalar. Its minimum, the entropy of the targets, is reached when the softmaxes
        equal the targets.
    """
    return (F.cross_entropy(logits, to_pictures) + F.cross_entropy(logits.T, to_captions)) / 2


def contrastive_loss_over_processes(
    texts: Tensor, images: Tensor, scale: Tensor, to_pictures: Tensor, to_captions: Tensor
) -> Tensor:
    """Compute `contrastive_loss` for this process's pairs against those of all processes.

    Args:
        texts, images: unit vectors of this process's pairs [n, width].
        scale: the factor of cosines before the softmax.
        to_pictures, to_captions: the targets for the pairs of all processes [all, all]; rows sum to 1.
    """
    first = len(texts) * (dist.get_rank() if _is_distributed() else 0)
    own = slice(first, first + len(texts))
    captions = F.cross_entropy(scale * cosines(texts, gathered(images)), to_pictures[own])
    pictures = F.cross_entropy(scale * cosines(images, gathered(texts)), to_captions[own])
    return (captions + pictures) / 2


def near_miss_loss(own: Tensor, elsewhere: Tensor, counted: Tensor) -> Tensor:
    """Push the true text of a picture above its near miss, by a greater lead than it has with other pictures.

    A near miss was invented, and its wording alone gives that away: without the comparison a network would learn which
    texts sound invented, and ignore the pictures.

    Args:
        own: the logit of the true text minus that of the near miss, with their picture [n].
        elsewhere: the same difference with other pictures [n, others].
        counted: [n, others], True for pictures of which the true text is false; only these count.

    Returns:
        The mean over the rows with a picture that counts, a scalar; 0 if there are none.
    """
    usable = counted.any(1)
    mean = (elsewhere * counted).sum(1) / counted.sum(1).clamp(min=1)
    return F.softplus(mean - own)[usable].sum() / usable.sum().clamp(min=1)


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the cosines [n, m] of unit vectors [n, width] and [m, width], in fp32 even if the step runs in bf16.

    Two candidates often differ only in the third digit, which bf16 does not have.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return queries.float() @ keys.float().T


def drift_loss(now: Tensor, before: Tensor) -> Tensor:
    """Hold vectors in place while the Transformer learns something else: return the mean of 1 - cosine over rows.

    Args:
        now, before: the vectors [rows, width].
    """
    return (1 - F.cosine_similarity(now.float(), before.float(), dim=1)).mean()


def matching_loss(true: Tensor, false: Tensor) -> Tensor:
    """Binary image-text matching: push the logits of true pairs [n] up and of false pairs [m] down, with equal weight.

    Only the true pairs count if there are no false ones.
    """
    up = F.binary_cross_entropy_with_logits(true.float(), torch.ones_like(true, dtype=torch.float))
    if not len(false):
        return up
    return (up + F.binary_cross_entropy_with_logits(false.float(), torch.zeros_like(false, dtype=torch.float))) / 2


def ranking_loss(logits: Tensor) -> Tensor:
    """Pull column 0 of logits [batch, 1 + negatives] above the others in each row, by softmax cross-entropy."""
    return F.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def gathered(local: Tensor) -> Tensor:
    """Gather the rows [batch, ...] of all processes, in the order of their ranks. Gradients flow back.

    Data-parallel training averages the gradients of the processes' own losses, so the mean of their losses over the
    gathered rows is trained as if one process had the whole batch.
    """
    if not _is_distributed():
        return local
    if local.is_floating_point():
        return torch.cat(all_gather(local))
    pieces = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(pieces, local)
    return torch.cat(pieces)


def _is_distributed() -> bool:
    """Return whether training runs in several processes."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
