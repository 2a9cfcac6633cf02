"""The first stage's training: image-text contrastive (ITC) on the embedding maps, on top of what is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import EmbeddingMaps
from pixsearch_trainer.batches.draws import Draws
from pixsearch_trainer.losses import captions_loss
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.optimisation.loop import Stage
from pixsearch_trainer.optimisation.schedules import cosine


@dataclass(frozen=True)
class FirstStageOptions:
    """How the maps are trained; the defaults won on Flickr8k's val (docs/experiments.md)."""

    epochs: int = 60
    batch: int = 500
    label_weight: float = 0.2
    """How often a picture whose captions come from a label is drawn, against one captioned by a person."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    feature_dropout: float = 0.8
    hidden_dropout: float = 0.2
    softness: float = 0.5
    softness_temperature: float = 0.1
    kept: float = 0.5
    """Share of the maps that is what they were, where a checkpoint is gone on with (see `mix_in`)."""


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


@dataclass(frozen=True)
class Drawn:
    """Pictures and a caption of each, by their places."""

    pictures: Tensor
    captions: Tensor
    names: list[str]
    """The pictures' files."""

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class DrawnViews(Drawn):
    """And as which of its views each picture is seen."""

    views: Tensor


class FirstStageObjective(Objective):
    """Each caption is to find its picture, and each picture its caption, among those of the batch."""

    network: EmbeddingMaps

    def __init__(self, maps: EmbeddingMaps, views: Tensor, sentences: Tensor, options: FirstStageOptions) -> None:
        """Args:
        views: pooled grids [all pictures, views, 2 * channels].
        sentences: unit vectors [captions, width] of the frozen sentence encoder.
        """
        super().__init__()
        self.network, self.options = maps, options
        self._views, self._sentences = views, sentences

    def forward(self, batch: DrawnViews) -> dict[str, Tensor]:
        options, read = self.options, self._sentences[batch.captions]
        with torch.autocast(read.device.type, enabled=False):  # small products, and their softmax is sharp
            pooled = self._views[batch.pictures, batch.views]
            images = embed_pooled(self.network, pooled, options.feature_dropout, options.hidden_dropout)
            logits = self.network.scale * self.network.text(read) @ images.T
            soft = options.softness, options.softness_temperature
            return {"loss": captions_loss(logits, batch.captions, read, *soft)}


def first_stage(
    number: int,
    maps: EmbeddingMaps,
    views: Tensor,
    sentences: Tensor,
    captions: CaptionTable,
    one_sided: Tensor,
    weights: Tensor,
    options: FirstStageOptions,
    seed: int,
    files: Sequence[str],
    name: str = "first stage",
) -> Stage:
    """The stage that trains the maps in place.

    Args:
        maps: on the device of all tensors here; its statistics must have been fitted.
        views, sentences: see `FirstStageObjective`; the first view is the one that the captions were written of.
        captions: which picture has which sentences.
        one_sided: [captions], True where a sentence is true of the first view alone.
        weights: [all pictures], how often each is drawn, relative to the others; 0 is never.
        files: of the pictures, for messages.
    """
    draws = Draws(weights.cpu(), options.batch, seed)
    steps = options.epochs * draws.steps_an_epoch
    optimizer = torch.optim.AdamW(maps.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    objective = FirstStageObjective(maps, views, sentences, options)
    batches = partial(draw_views, draws, captions, one_sided, views.shape[1], files)
    return Stage(number, name, objective, batches, [optimizer], cosine(steps, round(0.1 * steps)), steps)


def draw_views(
    draws: Draws, captions: CaptionTable, one_sided: Tensor, views: int, files: Sequence[str], first: int
) -> Iterator[DrawnViews]:
    """Batches from step `first` on, without end: pictures, a caption of each, and any of their views that fits it.

    Args:
        one_sided: [captions], True where a sentence is true of the first view alone.
        views: how many a picture has.
        files: of the pictures, for messages.
    """
    step = first
    while True:
        places = draws.at(step)
        drawn = places.to(one_sided.device)
        told = captions.draw(drawn)
        seen = torch.randint(views, told.shape, device=told.device).masked_fill(one_sided[told], 0)
        yield DrawnViews(drawn, told, [files[place] for place in places.tolist()], seen)
        step += 1


def embed_pooled(
    maps: EmbeddingMaps, pooled: Tensor, feature_dropout: float = 0.0, hidden_dropout: float = 0.0
) -> Tensor:
    """Pooled grids [n, 2 * channels] -> unit embeddings [n, embedding_size], by the maps alone (the gate closed)."""
    return F.normalize(maps.image(pooled, feature_dropout, hidden_dropout).float(), dim=-1)


@torch.no_grad()
def mix_in(maps: EmbeddingMaps, before: EmbeddingMaps, kept: float) -> None:
    """Let the maps be, in that share, what they were before: they learn a few pairs by heart and forget little else.

    The weights are averaged, which works because one started from the other (WiSE-FT; Wortsman et al., 2022).
    """
    for now, then in zip(maps.parameters(), before.parameters(), strict=True):
        now.lerp_(then, kept)
