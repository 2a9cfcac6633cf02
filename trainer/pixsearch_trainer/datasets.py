"""Captioned pictures: read from Karpathy's JSON, or from a library's own captions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixsearch.errors import DatasetError


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture file and the sentences that describe it."""

    file: Path
    captions: tuple[str, ...]
    split: str = "train"
    from_label: bool = False
    """The captions were made from a class label: they stand for a kind of picture, not for this one."""


def read_karpathy(dataset: Path, images: Path) -> list[CaptionedPicture]:
    """Read Karpathy's format: {"images": [{"filename", "split", "sentences": [{"raw"}]}]}; restval counts as train.

    Args:
        dataset: the JSON file.
        images: the folder of the pictures; COCO's "filepath" is a folder below it.

    Raises:
        DatasetError: the file is not of that format, or a picture that it names is not in the folder.
    """
    try:
        entries = json.loads(dataset.read_text(encoding="utf-8"))["images"]
        pictures = [
            CaptionedPicture(
                file=images / entry.get("filepath", "") / entry["filename"],
                captions=tuple(text for sentence in entry["sentences"] if (text := sentence["raw"].strip())),
                split="train" if entry["split"] == "restval" else entry["split"],
                from_label=bool(entry.get("label")),
            )
            for entry in entries
        ]
    except OSError as error:
        raise DatasetError(f"{dataset} cannot be read ({error.strerror})", "Name a JSON file with --data") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{dataset} is not in Karpathy's format ({type(error).__name__}: {error})",
            'It looks like {"images": [{"filename": .., "split": "train", "sentences": [{"raw": ..}]}]}',
        ) from error
    for picture in pictures:
        if not picture.file.is_file():
            raise DatasetError(f"{dataset} names {picture.file}, which is not there", "Name its folder with --images")
    return [picture for picture in pictures if picture.captions]


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
