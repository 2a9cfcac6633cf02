"""Distillation: a teacher's embeddings of pictures and sentences as soft targets of image-text contrast (ITC).

A picture is contrasted with sentences that the teacher finds near it. Sentences drawn at random from a large bank would
describe none of the pictures of a batch, and the teacher's preferences among them would mean nothing.
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
    """A teacher's embeddings of a data set: unit vectors in half precision, on the CPU."""

    images: Tensor
    """[pictures, teacher's width]."""
    texts: Tensor
    """[texts, teacher's width]."""
    scale: float
    """The teacher's own factor of cosines before a softmax."""

    def loss(self, scale: Tensor, texts: Tensor, images: Tensor, pictures: Tensor, captions: Tensor) -> Tensor:
        """`distillation_loss` of a batch.

        Args:
            scale: the student's factor of cosines.
            texts, images: the student's unit vectors [batch, width].
            pictures, captions: their places in the data set [batch], on the CPU.
        """
        to_pictures, to_texts = teacher_targets(self.images[pictures], self.texts[captions], self.scale)
        return distillation_loss(scale * cosines(texts, images), to_pictures.to(texts), to_texts.to(texts))


def teacher_targets(images: Tensor, texts: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return which picture the teacher finds for each text, and which text for each picture, at its own temperature.

    Args:
        images, texts: its unit vectors, [batch, width] and [texts, width], in any number format.
        scale: what it multiplies cosines by before a softmax.

    Returns:
        to_pictures [texts, batch] and to_texts [batch, texts], float32, rows sum to 1.
    """
    logits = scale * cosines(texts, images)
    return F.softmax(logits, dim=1), F.softmax(logits.T, dim=1)


def distillation_loss(logits: Tensor, to_pictures: Tensor, to_texts: Tensor) -> Tensor:
    """Pull each text towards the pictures that the teacher finds for it, as far as the teacher does, and away from the
    rest of the batch; and each picture towards its texts likewise: softmax cross-entropy both ways.

    It is least, though not zero, where the student's softmaxes equal the teacher's (what is left is their entropy).

    Args:
        logits: [texts, pictures], the student's scores of every pair of the batch.
        to_pictures: [texts, pictures], rows sum to 1.
        to_texts: [pictures, texts], rows sum to 1.

    Returns:
        The mean of both directions, a scalar.
    """
    return (F.cross_entropy(logits, to_pictures) + F.cross_entropy(logits.T, to_texts)) / 2


def nearest_texts(embeddings: TeacherEmbeddings, k: int) -> Tensor:
    """Return the places of the k texts that the teacher finds nearest to each picture, nearest first.

    Returns:
        [pictures, k] on the CPU; fewer columns where there are fewer texts.
    """
    device = best_device()
    texts = embeddings.texts.to(device).float()
    rows = max(1, _SCORES_AT_ONCE // len(texts))
    parts = (part.to(device).float() @ texts.T for part in embeddings.images.split(rows))
    return torch.cat([scores.topk(min(k, len(texts)), dim=1).indices.cpu() for scores in parts])
