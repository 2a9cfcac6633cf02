"""Pictures and the sentences that describe them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pixsearch.storage import FilePath


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture file and the texts that describe it, or nearly do."""

    file: FilePath
    captions: tuple[str, ...]
    split: str = "train"
    weight: float = 1.0  # how often it is drawn, relative to the others
    queries: tuple[str, ...] = ()
    """What people would type to find it: a few words, or a bare noun."""
    labels: tuple[str, ...] = ()
    """The names of its classes, or its keywords."""
    near_misses: tuple[str, ...] = ()
    """Texts that are nearly true of it, and are not."""


def of_split(pictures: Iterable[CaptionedPicture], split: str) -> list[CaptionedPicture]:
    """Return the pictures of one split, in their order."""
    return [picture for picture in pictures if picture.split == split]


def captions_only(pictures: Iterable[CaptionedPicture]) -> list[CaptionedPicture]:
    """Return the pictures without their queries, labels and near misses."""
    return [replace(picture, queries=(), labels=(), near_misses=()) for picture in pictures]


@dataclass(frozen=True)
class Captions:
    """The different sentences of some pictures, and which picture has which."""

    sentences: list[str]
    of_picture: list[list[int]]  # for each picture the indices of its captions in `sentences`

    @classmethod
    def of(cls, pictures: Iterable[CaptionedPicture]) -> Captions:
        """Collect the captions of pictures; a sentence that several pictures share is one sentence."""
        indices: dict[str, int] = {}
        of_picture = [[indices.setdefault(text, len(indices)) for text in p.captions] for p in pictures]
        return cls(list(indices), of_picture)

    def matches(self) -> NDArray[np.bool_]:
        """Return [sentences, pictures], True where the sentence describes the picture."""
        matches = np.zeros((len(self.sentences), len(self.of_picture)), bool)
        for picture, indices in enumerate(self.of_picture):
            matches[indices, picture] = True
        return matches
