"""Several data sets as one: read, weighed, and with one val."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pixsearch.storage import FilePath
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.reading import Reading, read_captioned


@dataclass(frozen=True)
class DataSet:
    """Where captioned pictures are, and how often one of them is drawn, relative to those of other sets."""

    data: FilePath
    images: FilePath | None = None
    weight: float = 1.0


def read_sets(sets: Sequence[DataSet]) -> Reading:
    """The pictures of all sets for training, those of one val, and what could not be used of either.

    Val is that of the first set that has one. Its pictures are never trained on, also where another set has them.

    Raises:
        DatasetError: a set cannot be read.
    """
    readings = [read_captioned(one.data, one.images) for one in sets]
    weighed = [
        [dataclasses.replace(picture, weight=one.weight) for picture in reading.pictures]
        for one, reading in zip(sets, readings, strict=True)
    ]
    return Reading(_together(weighed), [problem for reading in readings for problem in reading.problems])


def _together(sets: Iterable[list[CaptionedPicture]]) -> list[CaptionedPicture]:
    sets = list(sets)
    val = next((found for pictures in sets if (found := of_split(pictures, "val"))), [])
    measured = {picture.file for picture in val}
    training = (picture for pictures in sets for picture in of_split(pictures, "train"))
    return [*(picture for picture in training if picture.file not in measured), *val]
