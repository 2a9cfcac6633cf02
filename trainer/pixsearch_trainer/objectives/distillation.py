"""Distillation: a teacher's embeddings of pictures and sentences as soft targets for image-text contrast (ITC).

Why not any sentence for any photo. Of a large bank, the sentences that a batch draws at random describe none of its
pictures: the teacher then prefers some over others for reasons of no meaning, and that is what a student would learn.
So each picture is paired with a sentence drawn from those that the teacher finds nearest to it (a pseudo-caption); in
the batch these stand as captions do, and the teacher's targets say how far each fits the other pictures too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.devices import best_device
from pixsearch_trainer.losses import cosines

_SCORES_AT_ONCE = 1 << 24  # 64 MiB


@dataclass(frozen=True)
class TeacherEmbeddings:
    """What a teacher says of a data set: unit vectors in half precision, on the CPU."""

    images: Tensor
    """[pictures, teacher's width]."""
    texts: Tensor
    """[texts, teacher's width]."""
    scale: float
    """The teacher's own factor of cosines before a softmax."""

    def targets(self, pictures: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """`teacher_targets` of the pictures and texts at these places ([batch], [texts], on the CPU)."""
        return teacher_targets(self.images[pictures], self.texts[texts], self.scale)


def teacher_targets(images: Tensor, texts: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Which picture the teacher finds for each text, and which text for each picture, at its own temperature.

    Args:
        images, texts: its unit vectors, [batch, width] and [texts, width], of any number format.
        scale: what it multiplies cosines by before a softmax.

    Returns:
        to_pictures [texts, batch] and to_texts [batch, texts], float32, rows sum to 1.
    """
    logits = scale * cosines(texts, images)
    return F.softmax(logits, dim=1), F.softmax(logits.T, dim=1)


def distillation_loss(logits: Tensor, to_pictures: Tensor, to_texts: Tensor) -> Tensor:
    """Pulls each text towards the pictures that the teacher finds for it, as far as the teacher does, and away from the
    rest of the batch; and each picture towards its texts likewise. Softmax cross-entropy both ways.

    It is least, though not zero, where the student's softmaxes are the teacher's (what is left is their entropy).

    Args:
        logits: [texts, pictures], the student's scores of every pair of the batch.
        to_pictures: [texts, pictures], rows sum to 1.
        to_texts: [pictures, texts], rows sum to 1.

    Returns:
        The mean of both directions, a scalar.
    """
    pictures = -(to_pictures * F.log_softmax(logits, dim=1)).sum(1).mean()
    texts = -(to_texts * F.log_softmax(logits.T, dim=1)).sum(1).mean()
    return (pictures + texts) / 2


def nearest_texts(embeddings: TeacherEmbeddings, k: int) -> Tensor:
    """The places of the k texts that the teacher finds nearest to each picture, nearest first.

    Returns:
        [pictures, k] on the CPU; fewer columns where there are fewer texts.
    """
    device = best_device()
    texts = embeddings.texts.to(device).float()
    k = min(k, len(texts))
    nearest = torch.zeros(len(embeddings.images), k, dtype=torch.long)
    rows = max(1, _SCORES_AT_ONCE // max(1, len(texts)))
    for start in range(0, len(nearest), rows):
        images = embeddings.images[start : start + rows].to(device).float()
        nearest[start : start + rows] = (images @ texts.T).topk(k, dim=1).indices.cpu()
    return nearest


def draw_texts(nearest: Tensor, pictures: Tensor) -> Tensor:
    """A pseudo-caption for each picture of a batch: one of its nearest texts, at random by torch's global generator.

    Args:
        nearest: [all pictures, k], from `nearest_texts`.
        pictures: [batch], the places of the pictures drawn.

    Returns:
        [batch], places of texts; two pictures may draw the same one.
    """
    chosen = torch.randint(nearest.shape[1], (len(pictures),), device=nearest.device)
    return nearest[pictures, chosen]
