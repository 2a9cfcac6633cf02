"""Teaches words to find the pixels that show them: ITC by late interaction, on top of what is frozen.

Each side is read alone, so that a step can match every caption of a batch with every picture; and beside the first
stage's similarity, not on top of it: what is trained to mend the similarity's errors learns those of the training
pictures by heart (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.batches.draws import Draws
from pixsearch_trainer.bridge.first_stage import CaptionTable, DrawnViews, draw_views
from pixsearch_trainer.features import GridStore, read_views
from pixsearch_trainer.losses import captions_loss
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.sampling import sample_pixels
from pixsearch_trainer.optimisation.loop import Stage
from pixsearch_trainer.optimisation.schedules import cosine

_FIRST_SCALE = 20.0


@dataclass(frozen=True)
class LateInteractionOptions:
    """How words are taught to find pixels; the defaults won on Flickr8k's val (docs/experiments.md)."""

    steps: int = 1500
    batch: int = 192
    learning_rate: float = 1e-3
    scale_learning_rate: float = 5e-2
    weight_decay: float = 0.05
    channel_dropout: float = 0.7
    """Share of the CNN's channels that a picture goes without, the same in all its pixels."""
    sampled_pixels: int = 27
    softness: float = 0.5
    softness_temperature: float = 0.1


class LateInteractionObjective(Objective):
    """Each caption's words are to find their picture's pixels, and not those of others in the batch; and back."""

    network: PixelBertForRetrieval

    def __init__(
        self,
        network: PixelBertForRetrieval,
        processor: PixelBertProcessor,
        stores: Sequence[GridStore],
        captions: Sequence[str],
        sentences: Tensor,
        options: LateInteractionOptions,
    ) -> None:
        """Args:
        network: all but its `late_interaction` is only read.
        stores: the pictures' grids, one store a view.
        sentences: unit vectors [captions, width] of the frozen text stream.
        """
        super().__init__()
        self.network, self.options = network, options
        self._processor, self._stores, self._captions, self._sentences = processor, stores, captions, sentences

    def forward(self, batch: DrawnViews) -> dict[str, Tensor]:
        network, options, read = self.network, self.options, self._sentences[batch.captions]
        ids, mask = word_tensors(self._processor, [self._captions[place] for place in batch.captions.tolist()])
        mask = mask.to(read.device)
        grid, pixel_mask = read_views(self._stores, batch.pictures.tolist(), batch.views.tolist())
        grid, pixel_mask = sample_pixels(grid, pixel_mask, options.sampled_pixels)
        with torch.no_grad():
            words = network.read_each_word(ids.to(read.device), mask)
            grid = network.model.standardise(grid.to(read.device))
        grid = grid * F.dropout(torch.ones_like(grid[:, :1]), options.channel_dropout)
        logits = network.late_interaction.every_pair(words, mask, grid, pixel_mask.to(read.device))
        with torch.autocast(read.device.type, enabled=False):
            soft = options.softness, options.softness_temperature
            return {"loss": captions_loss(logits, batch.captions, read, *soft)}


def late_interaction(
    number: int,
    network: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    stores: Sequence[GridStore],
    captions: Sequence[str],
    sentences: Tensor,
    table: CaptionTable,
    one_sided: Tensor,
    weights: Tensor,
    options: LateInteractionOptions,
    seed: int,
    files: Sequence[str],
) -> Stage:
    """The stage that trains the network's late interaction in place, and opens it where it was closed.

    Args:
        stores, captions, sentences: see `LateInteractionObjective`.
        table, one_sided, weights, files: as of `first_stage`.
    """
    late = network.late_interaction
    if late.closed:
        late.scale.data.fill_(_FIRST_SCALE)
    network.requires_grad_(False).eval()
    late.requires_grad_(True)
    objective = LateInteractionObjective(network, processor, stores, captions, sentences, options)
    maps = [parameter for parameter in late.parameters() if parameter is not late.scale]
    optimizer = torch.optim.AdamW(maps, lr=options.learning_rate, weight_decay=options.weight_decay)
    optimizer.add_param_group({"params": [late.scale], "lr": options.scale_learning_rate, "weight_decay": 0.0})
    batches = partial(draw_views, Draws(weights.cpu(), options.batch, seed), table, one_sided, len(stores), files)
    schedule = cosine(options.steps, round(0.1 * options.steps))
    return Stage(number, "late interaction", objective, batches, [optimizer], schedule, options.steps)
