"""Represent pictures and the texts that describe them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pixsearch.storage import FilePath


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture file with texts that describe it, and near misses, which almost do."""

    file: FilePath
    captions: tuple[str, ...]
    split: str = "train"
    weight: float = 1.0  # how often the picture is drawn, relative to other pictures
    queries: tuple[str, ...] = ()
    """The queries that should find the picture: a few words, or a bare noun."""
    labels: tuple[str, ...] = ()
    """The class names or keywords of the picture."""
    near_misses: tuple[str, ...] = ()
    """Texts that are almost true of the picture, but false."""


def of_split(pictures: Iterable[CaptionedPicture], split: str) -> list[CaptionedPicture]:
    """Return the pictures in a split, in order."""
    return [picture for picture in pictures if picture.split == split]


def captions_only(pictures: Iterable[CaptionedPicture]) -> list[CaptionedPicture]:
    """Return the pictures without their queries, labels and near misses."""
    return [replace(picture, queries=(), labels=(), near_misses=()) for picture in pictures]


@dataclass(frozen=True)
class Captions:
    """The distinct captions of some pictures, and the captions of each picture."""

    sentences: list[str]
    of_picture: list[list[int]]  # for each picture, the indices of its captions in `sentences`

    @classmethod
    def of(cls, pictures: Iterable[CaptionedPicture]) -> Captions:
        """Collect the captions of pictures. A caption that several pictures share is included once."""
        indices: dict[str, int] = {}
        of_picture = [[indices.setdefault(text, len(indices)) for text in p.captions] for p in pictures]
        return cls(list(indices), of_picture)

    def matches(self) -> NDArray[np.bool_]:
        """Return an array [sentences, pictures], True where the sentence is a caption of the picture."""
        matches = np.zeros((len(self.sentences), len(self.of_picture)), bool)
        for picture, indices in enumerate(self.of_picture):
            matches[indices, picture] = True
        return matches
