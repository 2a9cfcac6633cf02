"""Which pairs a step draws: a function of the seed and the step alone, so that a run resumes where it stopped."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pixsearch_trainer.data.pairs import CaptionedPicture, Captions

_WORD = (1 << 64) - 1
_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)

Draw = Callable[[int], Tensor]
"""The items of a step, over all processes, by their indices in the data set."""


def generator_of(*numbers: int) -> torch.Generator:
    """Return a generator seeded by these numbers: the same stream for the same numbers, another for any other."""
    return torch.Generator().manual_seed(mixed_seed(*numbers))


def mixed_seed(*numbers: int) -> int:
    """Mix several small numbers into one seed, 0 <= seed < 2^63."""
    seed = 0x9E3779B97F4A7C15
    for number in numbers:
        # SplitMix64's finaliser (Steele et al., 2014) over a running sum, so that neighbouring steps share nothing.
        seed = (seed + number + 0x9E3779B97F4A7C15) & _WORD
        seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        seed = ((seed ^ (seed >> 27)) * 0x94D049BB133111EB) & _WORD
        seed ^= seed >> 31
    return seed >> 1


@dataclass
class Draws:
    """Draws `batch` items a step without replacement, each as often as its weight says; an epoch is their sum."""

    weights: Tensor
    """[items], relative."""
    batch: int
    """Items, over all processes."""
    seed: int
    processes: int = 1
    """A batch is a multiple of it, so that each process has as many items as the others."""
    _drawn: tuple[int, Tensor] = field(default=(-1, torch.empty(0)), init=False, repr=False)
    """An epoch and its order, replaced as one: a thread that reads ahead may be in the next epoch already."""

    def __post_init__(self) -> None:
        self.weights = self.weights.double() / self.weights.max()
        possible = int((self.weights > 0).sum())
        self.batch = min(self.batch, possible) // self.processes * self.processes or possible

    @property
    def steps_an_epoch(self) -> int:
        return max(1, int(self.weights.sum()) // self.batch)

    def at(self, step: int) -> Tensor:
        """Return the items of a step [batch]; steps count from 0."""
        epoch, within = divmod(step, self.steps_an_epoch)
        drawn, order = self._drawn
        if epoch != drawn:
            count = self.steps_an_epoch * self.batch
            order = torch.multinomial(self.weights, count, generator=generator_of(self.seed, 0, epoch))
            self._drawn = epoch, order
        return order[within * self.batch : (within + 1) * self.batch]


@dataclass(frozen=True)
class Pairs:
    """Pictures, each with a caption, by their indices in the data set."""

    pictures: Tensor
    captions: Tensor
    mirrored: Tensor
    """[pairs], True where the picture is seen as in a mirror."""


PairsAt = Callable[[int], Pairs]
"""The pairs that a step trains on in this process."""


class CaptionedSet:
    """Captioned pictures, and how captions are drawn for them."""

    def __init__(self, pictures: Sequence[CaptionedPicture], seed: int) -> None:
        self.pictures, self.seed = list(pictures), seed
        self.captions = Captions.of(pictures)
        self.weights = torch.tensor([picture.weight for picture in pictures])
        self._counts = torch.tensor([len(own) for own in self.captions.of_picture])
        longest = int(self._counts.max())
        self._table = torch.tensor([own + [0] * (longest - len(own)) for own in self.captions.of_picture])
        self._one_sided = torch.tensor([names_a_side(sentence) for sentence in self.captions.sentences])

    def __len__(self) -> int:
        return len(self.pictures)

    def pairs_at(self, draw: Draw, *, mirror: bool, rank: int = 0, processes: int = 1) -> PairsAt:
        """Draw a caption for each drawn picture, and whether it is mirrored; never where the caption says left or
        right. Each process has its share.
        """

        def pairs_at(step: int) -> Pairs:
            pictures = draw(step)
            chosen, coin = torch.rand(2, len(pictures), generator=generator_of(self.seed, 1, step))
            captions = self._table[pictures, (chosen * self._counts[pictures]).long()]
            mirrored = (coin < 0.5) & ~self._one_sided[captions] & mirror
            return Pairs(*(drawn.chunk(processes)[rank] for drawn in (pictures, captions, mirrored)))

        return pairs_at


def names_a_side(caption: str) -> bool:
    """Whether a caption says left or right, and so is not true of the mirrored picture."""
    return _SIDE.search(caption) is not None
