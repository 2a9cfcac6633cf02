"""Teaches a frozen language model to read pixels: ITC through the Transformer, on nothing but the pixels' way in.

The re-ranker's joint stream is hopeless while pixels are noise to the Transformer. Here a picture's pixels, read alone,
are to come out where its captions come out. Only the pixel projection, its norm and s_v are trained, half a million
numbers, so that a few thousand pictures suffice and the text stream stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch_trainer.bridge.first_stage import CaptionTable, Drawn
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.losses import captions_loss
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.optimisation.loop import Stage
from pixsearch_trainer.optimisation.schedules import cosine


@dataclass(frozen=True)
class PixelStreamOptions:
    """How pixels are taught to be read."""

    steps: int = 300
    batch: int = 192
    learning_rate: float = 1e-3
    scale_learning_rate: float = 1e-2
    weight_decay: float = 0.05
    feature_dropout: float = 0.5
    sampled_pixels: int = 24
    softness: float = 0.5
    softness_temperature: float = 0.1


class PixelStreamObjective(Objective):
    """A picture's pixels, read alone, are to come out where its caption comes out, and not where others do."""

    network: PixelBertForRetrieval

    def __init__(
        self, network: PixelBertForRetrieval, grids: GridStore, sentences: Tensor, options: PixelStreamOptions
    ) -> None:
        """Args:
        sentences: unit vectors [captions, width] of the frozen text stream.
        """
        super().__init__()
        self.network, self.options = network, options
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=sentences.device))
        self._grids, self._sentences = grids, sentences

    def forward(self, batch: Drawn) -> dict[str, Tensor]:
        options, read = self.options, self._sentences[batch.captions]
        grid, pixel_mask = sample_pixels(*self._grids.read(batch.pictures.tolist()), options.sampled_pixels)
        device = read.device
        pictures = self.network.read_pixels(grid.to(device), options.feature_dropout, pixel_mask.to(device))
        with torch.autocast(device.type, enabled=False):
            logits = self.log_scale.exp().clamp(max=100) * read @ F.normalize(pictures.float(), dim=-1).T
            soft = options.softness, options.softness_temperature
            return {"loss": captions_loss(logits, batch.captions, read, *soft)}


def pixel_stream(
    number: int,
    network: PixelBertForRetrieval,
    grids: GridStore,
    sentences: Tensor,
    captions: CaptionTable,
    weights: Tensor,
    options: PixelStreamOptions,
    files: Sequence[str],
) -> Stage:
    """The stage that trains the pixels' way into the Transformer in place; everything else is left as it is.

    Args:
        sentences: see `PixelStreamObjective`.
        weights: [pictures], how often each is drawn, relative to the others.
        files: of the pictures, for messages.
    """
    pixels_in = pixel_parameters(network)
    network.requires_grad_(False).eval()
    for parameter in pixels_in:
        parameter.requires_grad_(True)
    objective = PixelStreamObjective(network, grids, sentences, options)
    optimizer = torch.optim.AdamW(pixels_in, lr=options.learning_rate, weight_decay=options.weight_decay)
    optimizer.add_param_group({"params": [objective.log_scale], "lr": options.scale_learning_rate, "weight_decay": 0.0})
    batch = min(options.batch, int((weights > 0).sum()))

    def batches(_first: int) -> Iterator[Drawn]:
        while True:
            drawn = torch.multinomial(weights, batch)
            yield Drawn(drawn, captions.draw(drawn), [files[place] for place in drawn.tolist()])

    schedule = cosine(options.steps, round(0.1 * options.steps))
    return Stage(number, "pixel stream", objective, batches, [optimizer], schedule, options.steps)


def pixel_parameters(model: PixelBertForRetrieval) -> list[torch.nn.Parameter]:
    """What a pixel feature passes on its way into the Transformer."""
    positions = model.model.pixel_positions
    return [
        *model.model.pixel_projection.parameters(),
        *model.model.pixel_norm.parameters(),
        model.model.semantic_embedding,
        *([] if positions is None else [positions]),
    ]
