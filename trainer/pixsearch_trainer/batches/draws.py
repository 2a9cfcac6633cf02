"""Which pictures a step draws: a function of the seed and the step alone, so that a run resumes where it stopped."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


def generator_of(*numbers: int) -> torch.Generator:
    """A generator seeded by these numbers: the same stream for the same numbers, another for any other."""
    return torch.Generator().manual_seed(mixed_seed(*numbers))


def mixed_seed(*numbers: int) -> int:
    """One seed out of several small numbers, 0 <= seed < 2^63."""
    seed = 0x9E3779B97F4A7C15
    for number in numbers:
        # SplitMix64's finaliser (Steele et al., 2014) over a running sum, so that neighbouring steps share nothing.
        seed = (seed + number + 0x9E3779B97F4A7C15) & _WORD
        seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        seed = ((seed ^ (seed >> 27)) * 0x94D049BB133111EB) & _WORD
        seed ^= seed >> 31
    return seed >> 1


_WORD = (1 << 64) - 1


@dataclass
class Draws:
    """Draws `batch` items a step without replacement, each as often as its weight says; an epoch is their sum."""

    weights: Tensor
    """[items], how often each is drawn in an epoch; at most 1."""
    batch: int
    """Items, over all processes."""
    seed: int
    pictures_an_item: int = 1
    """An item's pictures follow one another."""
    _epoch: int = field(default=-1, init=False)
    _order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long), init=False)

    def __post_init__(self) -> None:
        self.batch = min(self.batch, int((self.weights > 0).sum()))

    @property
    def steps_an_epoch(self) -> int:
        return max(1, int(self.weights.sum()) // self.batch)

    def at(self, step: int) -> Tensor:
        """The places of the pictures of a step [pictures]; steps count from 0."""
        epoch, within = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            count = self.steps_an_epoch * self.batch
            self._order = torch.multinomial(self.weights, count, generator=generator_of(self.seed, 0, epoch))
            self._epoch = epoch
        items = self._order[within * self.batch : (within + 1) * self.batch]
        return (items[:, None] * self.pictures_an_item + torch.arange(self.pictures_an_item)).flatten()


@dataclass(frozen=True)
class InOrder:
    """All pictures once, in their order; the last step has what is left."""

    pictures: int
    batch: int

    @property
    def steps_an_epoch(self) -> int:
        return math.ceil(self.pictures / self.batch)

    def at(self, step: int) -> Tensor:
        """The places of the pictures of a step; steps count from 0, and those after the last have none."""
        return torch.arange(self.pictures)[step * self.batch : (step + 1) * self.batch]
