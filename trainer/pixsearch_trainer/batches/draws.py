"""Draw the pairs for a step. They depend only on the seed and the step, so that a run can be resumed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pixsearch_trainer.data.pairs import CaptionedPicture, Captions

_WORD = (1 << 64) - 1
_SIDE = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)
_QUERY_SHARE = 0.3  # the share of draws that use a query if a picture has any, because people search with bare nouns
_LABEL_SHARE = 0.05

Draw = Callable[[int], Tensor]
"""A function that returns the data set indices of the items in a step, over all processes."""


def generator_of(*numbers: int) -> torch.Generator:
    """Return a generator seeded with these numbers. Different numbers give an unrelated sequence."""
    return torch.Generator().manual_seed(mixed_seed(*numbers))


def mixed_seed(*numbers: int) -> int:
    """Mix several small numbers into one seed, 0 <= seed < 2^63."""
    seed = 0x9E3779B97F4A7C15
    for number in numbers:
        # SplitMix64's finaliser (Steele et al., 2014), applied to a running sum, makes the seeds of neighbouring steps
        # unrelated.
        seed = (seed + number + 0x9E3779B97F4A7C15) & _WORD
        seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        seed = ((seed ^ (seed >> 27)) * 0x94D049BB133111EB) & _WORD
        seed ^= seed >> 31
    return seed >> 1


@dataclass
class Draws:
    """Random draws of `batch` items per step, without replacement, with probabilities proportional to weights.

    The number of items per epoch is the sum of the weights divided by the largest weight.
    """

    weights: Tensor
    """The relative weights of the items [items]."""
    batch: int
    """The number of items per step, over all processes."""
    seed: int
    processes: int = 1
    """The number of processes. `batch` is rounded down to a multiple of it, so that all processes get equal shares."""
    _drawn: tuple[int, Tensor] = field(default=(-1, torch.empty(0)), init=False, repr=False)
    """An epoch and its order. Both are set together, because a thread that reads ahead may be in the next epoch."""

    def __post_init__(self) -> None:
        self.weights = self.weights.double() / self.weights.max()
        possible = int((self.weights > 0).sum())
        self.batch = min(self.batch, possible) // self.processes * self.processes or possible

    @property
    def steps_an_epoch(self) -> int:
        return max(1, int(self.weights.sum()) // self.batch)

    def at(self, step: int) -> Tensor:
        """Return the items for a step [batch]. Steps start at 0."""
        epoch, within = divmod(step, self.steps_an_epoch)
        drawn, order = self._drawn
        if epoch != drawn:
            count = self.steps_an_epoch * self.batch
            order = torch.multinomial(self.weights, count, generator=generator_of(self.seed, 0, epoch))
            self._drawn = epoch, order
        return order[within * self.batch : (within + 1) * self.batch]


@dataclass(frozen=True)
class Pairs:
    """Pictures, each with a true text and a near miss, as indices into the data set. All fields are [pairs]."""

    pictures: Tensor
    captions: Tensor
    near_misses: Tensor
    """The index of a near miss, or -1 for a picture without one."""
    mirrored: Tensor
    """True for mirrored pictures."""


PairsAt = Callable[[int], Pairs]
"""A function that returns the pairs for a step in this process."""


class CaptionedSet:
    """A set of captioned pictures from which pairs are drawn."""

    def __init__(self, pictures: Sequence[CaptionedPicture], seed: int) -> None:
        self.pictures, self.seed = list(pictures), seed
        self.captions = Captions.of(pictures)
        self.weights = torch.tensor([picture.weight for picture in pictures])
        indices = {text: index for index, text in enumerate(self.captions.sentences)}

        def table(texts: Callable[[CaptionedPicture], Sequence[str]]) -> Tensor:
            rows = [[indices.setdefault(text, len(indices)) for text in texts(picture)] for picture in pictures]
            longest = max(1, *map(len, rows))
            return torch.tensor([row + [-1] * (longest - len(row)) for row in rows])

        self._captions, self._queries = table(lambda one: one.captions), table(lambda one: one.queries)
        self._labels, self._near_misses = table(lambda one: one.labels), table(lambda one: one.near_misses)
        self.texts = list(indices)
        """All texts, starting with the captions in the same order as in `captions`."""
        self.true_texts = torch.cat([self._captions, self._queries, self._labels], dim=1)
        """The indices of the texts that describe each picture [pictures, most], padded with -1."""
        self.has_near_misses = any(picture.near_misses for picture in pictures)
        self._words = torch.tensor([len(text.split()) for text in self.texts])
        self._one_sided = torch.tensor([names_a_side(text) for text in self.texts])

    def __len__(self) -> int:
        return len(self.pictures)

    def pairs_at(self, draw: Draw, *, mirror: bool, rank: int = 0, processes: int = 1) -> PairsAt:
        """Return a function that draws a text and a near miss for each picture in a step.

        Most texts are captions, some are queries, and a few are labels. The near miss is the one closest in length to
        the text. If `mirror` is True, half of the pictures are mirrored, except those whose texts contain "left" or
        "right". Each process gets its share of the pairs.
        """

        def pairs_at(step: int) -> Pairs:
            pictures = draw(step)
            chosen, kind, coin = torch.rand(3, len(pictures), generator=generator_of(self.seed, 1, step))
            texts, queries, labels = (
                _one_of(table[pictures], chosen) for table in (self._captions, self._queries, self._labels)
            )
            texts = torch.where((kind < _QUERY_SHARE) & (queries >= 0), queries, texts)
            texts = torch.where((kind > 1 - _LABEL_SHARE) & (labels >= 0), labels, texts)
            near_misses = self._near_misses_of(pictures, texts)
            # A near miss that contains "left" or "right" may be true of the mirrored picture.
            one_sided = self._one_sided[texts] | self._one_sided[near_misses] & (near_misses >= 0)
            mirrored = (coin < 0.5) & ~one_sided & mirror
            drawn = pictures, texts, near_misses, mirrored
            return Pairs(*(part.chunk(processes)[rank] for part in drawn))

        return pairs_at

    def texts_at(self, indices: Tensor) -> list[str]:
        """Return the texts at these indices, with an empty string for -1."""
        return ["" if index < 0 else self.texts[index] for index in indices.tolist()]

    def _near_misses_of(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """Return the near miss of each picture that is closest in word count to its text; -1 if there is none."""
        near_misses = self._near_misses[pictures]
        difference = (self._words[near_misses] - self._words[texts][:, None]).abs()
        nearest = difference.masked_fill(near_misses < 0, torch.iinfo(torch.int64).max).argmin(1, keepdim=True)
        return near_misses.gather(1, nearest)[:, 0]


def _one_of(table: Tensor, chosen: Tensor) -> Tensor:
    """Choose one index per row, using a number in 0..1; -1 for an empty row."""
    count = (table >= 0).sum(1)
    return table.gather(1, (chosen * count).long()[:, None])[:, 0]


def names_a_side(caption: str) -> bool:
    """Return whether a caption contains "left" or "right", and so may not be true of the mirrored picture."""
    return _SIDE.search(caption) is not None
