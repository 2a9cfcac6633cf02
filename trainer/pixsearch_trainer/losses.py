"""The losses, as functions of small tensors; cross-entropy itself is torch's, which takes probabilities as targets."""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def same_items(pictures: Tensor, captions: Tensor) -> Tensor:
    """[n], [n] ids -> [n, n], True where pair i and pair j share the picture or the caption.

    Such two are never each other's negatives: a picture's five captions are all true of it.
    """
    return (pictures[:, None] == pictures[None, :]) | (captions[:, None] == captions[None, :])


def soft_targets(true: Tensor, sentences: Tensor, softness: float, temperature: float) -> Tensor:
    """Which picture each caption should find: its own, and to a small degree those whose captions mean nearly the same.

    Args:
        true: [n, n], True where caption i is true of picture j.
        sentences: the captions as unit vectors [n, width].
        softness: share of the probability that follows the captions' similarity, 0..1.
        temperature: of the softmax over those similarities.

    Returns:
        [n, n], rows sum to 1. With `true` transposed: which caption each picture should find.
    """
    hard = true.float() / true.sum(1, keepdim=True)
    return (1 - softness) * hard + softness * F.softmax(sentences @ sentences.T / temperature, dim=1)


def contrastive_loss(logits: Tensor, to_pictures: Tensor, to_captions: Tensor) -> Tensor:
    """Image-text contrastive loss (ITC; ALBEF, section 3.2): pull each caption to its pictures and each picture to its
    captions, out of all in the batch, by softmax cross-entropy both ways.

    Args:
        logits: [captions, pictures], the score of each pair.
        to_pictures: targets of the captions [captions, pictures], rows sum to 1.
        to_captions: targets of the pictures [pictures, captions], rows sum to 1.

    Returns:
        The mean of both directions, a scalar. It is least, though not zero, where the softmaxes equal the targets (what
        is left is their entropy).
    """
    return (F.cross_entropy(logits, to_pictures) + F.cross_entropy(logits.T, to_captions)) / 2


def contrastive_loss_over_processes(
    texts: Tensor, images: Tensor, scale: Tensor, to_pictures: Tensor, to_captions: Tensor
) -> Tensor:
    """`contrastive_loss` of this process's pairs against those of all processes.

    Args:
        texts, images: unit vectors of this process's pairs [n, width].
        scale: what cosines are multiplied by before the softmax.
        to_pictures, to_captions: of the pairs of all processes [all, all], rows sum to 1.
    """
    first = len(texts) * (dist.get_rank() if _spread() else 0)
    own = slice(first, first + len(texts))
    captions = F.cross_entropy(scale * cosines(texts, gathered(images)), to_pictures[own])
    pictures = F.cross_entropy(scale * cosines(images, gathered(texts)), to_captions[own])
    return (captions + pictures) / 2


def near_miss_loss(own: Tensor, elsewhere: Tensor, counted: Tensor) -> Tensor:
    """Push the text that is true of a picture above its near miss, by more than it is above it with other pictures.

    A near miss was invented, and its wording alone tells that: without the subtraction a network would learn which
    texts sound invented, and look at no picture.

    Args:
        own: the logit of the true text less that of the near miss, with their picture [n].
        elsewhere: the same with other pictures [n, others].
        counted: [n, others], True for the others that count: pictures of which the true text is not true.

    Returns:
        The mean over the rows where any other picture counts, a scalar; 0 where there is none.
    """
    usable = counted.any(1)
    mean = (elsewhere * counted).sum(1) / counted.sum(1).clamp(min=1)
    return F.softplus(mean - own)[usable].sum() / usable.sum().clamp(min=1)


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """Unit vectors [n, width], [m, width] -> [n, m], in fp32 even where the rest of a step is in bf16.

    What tells two candidates apart is often in the third digit, which bf16 does not have.
    """
    with torch.autocast(queries.device.type, enabled=False):
        return queries.float() @ keys.float().T


def drift_loss(now: Tensor, before: Tensor) -> Tensor:
    """Hold vectors where they were while the Transformer learns something else: 1 - cosine, the mean over rows.

    Args:
        now, before: [rows, width].
    """
    return (1 - F.cosine_similarity(now.float(), before.float(), dim=1)).mean()


def matching_loss(true: Tensor, false: Tensor) -> Tensor:
    """Binary image-text matching: push the logits of true pairs [n] up and those of false pairs [m] down, each by half.

    Without a false pair only the true ones count.
    """
    up = F.binary_cross_entropy_with_logits(true.float(), torch.ones_like(true, dtype=torch.float))
    if not len(false):
        return up
    return (up + F.binary_cross_entropy_with_logits(false.float(), torch.zeros_like(false, dtype=torch.float))) / 2


def ranking_loss(logits: Tensor) -> Tensor:
    """Pull column 0 above all others in each row: logits [batch, 1 + negatives] -> mean softmax cross-entropy."""
    return F.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def gathered(local: Tensor) -> Tensor:
    """Rows [batch, ...] of this process -> rows of all processes, in the order of their ranks; gradients flow back.

    Each process's gradient of its own loss is averaged over processes afterwards (data-parallel training), so the mean
    of the processes' losses over the gathered rows is trained as if one process had the whole batch.
    """
    if not _spread():
        return local
    if local.is_floating_point():
        return torch.cat(all_gather(local))
    pieces = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(pieces, local)
    return torch.cat(pieces)


def _spread() -> bool:
    """Whether there is more than this process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
