"""Reads and encodes the captioned pictures that a model is measured on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.progress import ProgressCallback
from pixsearch.storage import to_path
from pixsearch_cli.output import warn_of_problems

if TYPE_CHECKING:
    from pixsearch.search.runtime import Runtime
    from pixsearch_trainer.data.pairs import CaptionedPicture
    from pixsearch_trainer.data.problems import Problem
    from pixsearch_trainer.evaluation.encoding import EncodedPictures

DataOption = Annotated[
    str, typer.Option(metavar="FILE|DIR", help="Pictures and captions, in any format that train reads.")
]
ImagesOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder with the pictures. [default: the folder of the data file]")
]
SplitOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Split to use. [default: val, or the only split]")
]


def encode_split(
    runtime: Runtime,
    data: str,
    images: str | None,
    split: str | None,
    max_bad: int | None,
    show: ProgressCallback,
    choose: Callable[[list[CaptionedPicture]], list[CaptionedPicture]] = lambda pictures: pictures,
) -> EncodedPictures:
    """Encode the captioned pictures in a split. If no split is named, use the only one, or val.

    `choose` receives the pictures in the split and returns the pictures to encode. Raises UsageError if the split has
    no pictures, and DatasetError if the data has more than `max_bad` problems.
    """
    from pixsearch_trainer.data.checking import enforce_limit
    from pixsearch_trainer.data.reading import read_captioned
    from pixsearch_trainer.evaluation.encoding import encode

    reading = read_captioned(to_path(data), None if images is None else to_path(images))
    pictures = [picture for picture in reading.pictures if picture.captions]
    splits = list(dict.fromkeys(picture.split for picture in pictures))
    if split is None:
        split = splits[0] if len(splits) == 1 else "val"
    if split not in splits:
        hint = f"Available splits: {', '.join(splits)}" if splits else "Use data with captioned pictures"
        raise UsageError(f"no pictures in the split {split!r}", hint)

    def pass_over(*problems: Problem) -> None:
        reading.problems.extend(problems)
        enforce_limit(reading.problems, max_bad, len(reading.pictures))

    pass_over()
    chosen = choose([picture for picture in pictures if picture.split == split])
    encoded = encode(runtime, chosen, show, pass_over)
    warn_of_problems(reading.problems)
    return encoded
