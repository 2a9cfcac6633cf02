"""The captioned pictures that a model is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.storage import to_path
from pixsearch_cli.output import tell_problems

if TYPE_CHECKING:
    from pixsearch_trainer.data.pairs import CaptionedPicture

DataOption = Annotated[
    str, typer.Option(metavar="FILE|DIR", help="Pictures and captions, in any format that train reads.")
]
ImagesOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where its pictures are. [default: where it is itself]")
]
SplitOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which of its pictures. [default: val, or the only split]")
]


def pictures_to_measure(
    data: str, images: str | None, split: str | None, max_bad: int | None
) -> list[CaptionedPicture]:
    """Those of a split that have captions. Raises UsageError where there are none, DatasetError."""
    from pixsearch_trainer.data.checking import enforce_limit
    from pixsearch_trainer.data.reading import read_captioned

    reading = read_captioned(to_path(data), None if images is None else to_path(images))
    enforce_limit(reading.problems, max_bad, len(reading.pictures))
    tell_problems(reading.problems)
    return _of_split([picture for picture in reading.pictures if picture.captions], split)


def _of_split(pictures: Sequence[CaptionedPicture], split: str | None) -> list[CaptionedPicture]:
    """Of val where none is named, or of the only split that there is."""
    splits = list(dict.fromkeys(picture.split for picture in pictures))
    if split is None:
        split = splits[0] if len(splits) == 1 else "val"
    chosen = [picture for picture in pictures if picture.split == split]
    if not chosen:
        there = f"It has {', '.join(splits)}" if splits else "Give other data"
        raise UsageError(f"there is no picture to evaluate on in the split {split!r}", there)
    return chosen
