"""Teaches a frozen language model to read pixels: ITC through the Transformer, on nothing but the pixels' way in.

The re-ranker's joint stream is hopeless while pixels are noise to the Transformer. Here a picture's pixels, read alone,
are to come out where its captions come out. Only the pixel projection, its norm and s_v are trained, half a million
numbers, so that a few thousand pictures suffice and the text stream stays what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.runtime import autocast
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.features import GridStore
from pixsearch_trainer.first_stage import CaptionTable
from pixsearch_trainer.losses import contrastive_loss, shared_captions, soft_targets
from pixsearch_trainer.objectives.sampling import sample_pixels


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


def train_pixel_stream(
    model: PixelBertForRetrieval,
    grids: GridStore,
    sentences: Tensor,
    captions: CaptionTable,
    weights: Tensor,
    options: PixelStreamOptions,
    on_progress: ProgressCallback = silent,
) -> None:
    """Train the pixels' way into the Transformer in place; everything else is left as it is.

    Args:
        sentences: unit vectors [captions, width] of the frozen text stream.
        weights: [pictures], how often each is drawn, relative to the others.
    """
    device = sentences.device
    pixels_in = pixel_parameters(model)
    log_scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=device))
    optimizer = torch.optim.AdamW(pixels_in, lr=options.learning_rate, weight_decay=options.weight_decay)
    optimizer.add_param_group({"params": [log_scale], "lr": options.scale_learning_rate, "weight_decay": 0.0})
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[options.learning_rate, options.scale_learning_rate],
        total_steps=options.steps + 1,
        pct_start=0.1,
    )
    batch = min(options.batch, int((weights > 0).sum()))
    model.requires_grad_(False)
    for parameter in pixels_in:
        parameter.requires_grad_(True)
    for step in range(1, options.steps + 1):
        drawn = torch.multinomial(weights, batch)
        places = captions.draw(drawn)
        read = sentences[places]
        grid, pixel_mask = sample_pixels(*grids.read(drawn.tolist()), options.sampled_pixels)
        with autocast(device):
            read_pixels = model.read_pixels(grid.to(device), options.feature_dropout, pixel_mask.to(device))
        pictures = F.normalize(read_pixels.float(), dim=-1)
        logits = log_scale.exp().clamp(max=100) * read @ pictures.T
        targets = soft_targets(shared_captions(places), read @ read.T, options.softness, options.softness_temperature)
        loss = contrastive_loss(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_progress(Progress("pixel stream", step, options.steps, f"loss {loss.item():.3f}"))
    model.requires_grad_(True)


def pixel_parameters(model: PixelBertForRetrieval) -> list[torch.nn.Parameter]:
    """What a pixel feature passes on its way into the Transformer."""
    positions = model.model.pixel_positions
    return [
        *model.model.pixel_projection.parameters(),
        *model.model.pixel_norm.parameters(),
        model.model.semantic_embedding,
        *([] if positions is None else [positions]),
    ]
