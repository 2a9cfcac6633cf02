"""Batches of pictures with a caption each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import word_tensors
from pixsearch_trainer.batches.draws import CaptionedSet, Draws, PairsAt
from pixsearch_trainer.batches.sources import Seen, Source
from pixsearch_trainer.run.stage import Batches


@dataclass(frozen=True)
class PairBatch:
    """Pictures and one caption of each."""

    pictures: Tensor
    """Places in the data set [batch]; those of captions below likewise. All on the training device."""
    captions: Tensor
    ids: Tensor
    """[batch, words]."""
    mask: Tensor
    """[batch, words]."""
    seen: Seen
    names: list[str]
    """The pictures' files, for messages."""

    def __len__(self) -> int:
        return len(self.pictures)


def pairs_by_weight(data: CaptionedSet, draws: Draws, *, mirror: bool, rank: int = 0, processes: int = 1) -> PairsAt:
    """Draw a step's pictures by weight, and a caption of each; each process has its share."""
    return lambda step: data.with_captions(draws.at(step), step, mirror).share(rank, processes)


def pair_batches(
    data: CaptionedSet, pairs_at: PairsAt, source: Source, processor: PixelBertProcessor, device: torch.device
) -> Batches:
    """Return batches of the pairs of each step."""

    def batches(first: int) -> Iterator[PairBatch]:
        for step, seen in enumerate(source(pairs_at, first), first):
            pairs = pairs_at(step)
            ids, mask = word_tensors(processor, [data.captions.sentences[place] for place in pairs.captions.tolist()])
            places = pairs.pictures.to(device), pairs.captions.to(device)
            yield PairBatch(*places, ids.to(device), mask.to(device), seen, data.names(pairs.pictures))

    return batches
