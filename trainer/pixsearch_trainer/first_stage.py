"""The first stage's training: image-text contrastive (ITC) on the embedding maps, and the CNN below them if asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import EmbeddingMaps
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.losses import contrastive_loss, shared_captions, soft_targets


@dataclass(frozen=True)
class FirstStageOptions:
    """How the maps are trained; the defaults won on Flickr8k's val (docs/experiments.md)."""

    epochs: int = 60
    batch: int = 500
    label_weight: float = 0.2
    """How often a picture whose captions come from a label is drawn, against one captioned by a person."""
    cnn_batch: int = 64
    """Where the CNN is trained: its activations, not the softmax, say how many pictures fit into memory."""
    learning_rate: float = 1e-3
    learning_rate_below: float = 1e-5
    weight_decay: float = 0.01
    feature_dropout: float = 0.8
    hidden_dropout: float = 0.2
    softness: float = 0.5
    softness_temperature: float = 0.1


class CaptionTable:
    """Draws one caption a picture: the places of each picture's captions, padded to a rectangle."""

    def __init__(self, captions_of: list[list[int]], device: torch.device) -> None:
        longest = max(len(captions) for captions in captions_of)
        self.counts = torch.tensor([len(captions) for captions in captions_of], device=device)
        self.places = torch.tensor(
            [captions + [0] * (longest - len(captions)) for captions in captions_of], device=device
        )

    def draw(self, pictures: Tensor) -> Tensor:
        """Pictures [n] -> the place of one caption of each at random [n]."""
        chosen = (torch.rand(len(pictures), device=self.counts.device) * self.counts[pictures]).long()
        return self.places[pictures, chosen]


def train_first_stage(
    maps: EmbeddingMaps,
    embed_pictures: Callable[[Tensor], Tensor],
    sentences: Tensor,
    captions: CaptionTable,
    pictures: Tensor,
    weights: Tensor,
    options: FirstStageOptions,
    below: Sequence[torch.nn.Parameter] = (),
    on_progress: ProgressCallback = silent,
) -> None:
    """Train the maps in place, and what lies below them where it is not frozen.

    Args:
        maps: on the device of all tensors here; its statistics must have been fitted.
        embed_pictures: places of pictures [n] -> their unit embeddings [n, embedding_size], through the maps.
        sentences: unit vectors [captions, width] of the frozen sentence encoder.
        captions: which picture has which sentences.
        pictures: places of the pictures to train on.
        weights: [all pictures], how often each is drawn, relative to the others; their sum is an epoch.
        below: further parameters that `embed_pictures` reaches, with the lower learning rate.
    """
    drawn_an_epoch = max(2, int(weights[pictures].sum()))
    batch = min(options.batch, drawn_an_epoch)
    steps_an_epoch = drawn_an_epoch // batch
    rates = [options.learning_rate, options.learning_rate_below][: 2 if below else 1]
    groups = [{"params": list(part), "lr": rate} for part, rate in zip((maps.parameters(), below), rates, strict=False)]
    optimizer = torch.optim.AdamW(groups, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=rates,
        total_steps=max(2, options.epochs * steps_an_epoch),
        pct_start=0.1,
    )
    for epoch in range(options.epochs):
        shuffled = pictures[torch.multinomial(weights[pictures], steps_an_epoch * batch)]
        for drawn in shuffled.split(batch):
            places = captions.draw(drawn)
            read = sentences[places]
            logits = maps.scale * maps.text(read) @ embed_pictures(drawn).T
            targets = soft_targets(
                shared_captions(places), read @ read.T, options.softness, options.softness_temperature
            )
            loss = contrastive_loss(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        on_progress(Progress("first stage", epoch + 1, options.epochs, f"loss {loss.item():.3f}"))


def embed_pooled(
    maps: EmbeddingMaps, pooled: Tensor, feature_dropout: float = 0.0, hidden_dropout: float = 0.0
) -> Tensor:
    """Pooled grids [n, 2 * channels] -> unit embeddings [n, embedding_size], by the maps alone (the gate closed)."""
    return F.normalize(maps.image(pooled, feature_dropout, hidden_dropout).float(), dim=-1)
