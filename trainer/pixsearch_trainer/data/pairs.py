"""Pictures and the sentences that describe them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixsearch.storage import FilePath


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture file and the sentences that describe it."""

    file: FilePath
    captions: tuple[str, ...]
    split: str = "train"
    from_label: bool = False
    """The captions were made from a class label: they stand for a kind of picture, not for this one."""
    weight: float = 1.0
    """How often it is drawn, relative to the others."""


def of_split(pictures: Iterable[CaptionedPicture], split: str) -> list[CaptionedPicture]:
    """The pictures of one split."""
    return [picture for picture in pictures if picture.split == split]


@dataclass(frozen=True)
class Captions:
    """The different sentences of some pictures, and which picture has which."""

    sentences: list[str]
    of_picture: list[list[int]]
    """For each picture the places of its captions in `sentences`."""

    @classmethod
    def of(cls, pictures: Sequence[CaptionedPicture]) -> Captions:
        places: dict[str, int] = {}
        of_picture = [[places.setdefault(text, len(places)) for text in p.captions] for p in pictures]
        return cls(list(places), of_picture)

    def matches(self) -> Tensor:
        """[sentences, pictures], True where the sentence is the picture's."""
        matches = torch.zeros(len(self.sentences), len(self.of_picture), dtype=torch.bool)
        for picture, places in enumerate(self.of_picture):
            matches[places, picture] = True
        return matches
