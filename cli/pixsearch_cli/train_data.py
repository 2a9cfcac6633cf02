"""What `pixsearch train` learns from: read, looked at, and what could not be used told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pixsearch import Library
from pixsearch.errors import DatasetError, UsageError
from pixsearch.progress import ProgressCallback
from pixsearch.settings import library_place
from pixsearch_cli.output import tell_problems
from pixsearch_cli.train_options import Asked
from pixsearch_trainer.data.checking import check_pictures, enforce_limit
from pixsearch_trainer.data.nlvr2 import Statement, read_nlvr2
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.sets import DataSet, read_sets
from pixsearch_trainer.data.vqa import Question, read_vqa

Item = CaptionedPicture | Question | Statement

_READERS: dict[str, Callable[[Path, Path | None], tuple[Sequence[Question | Statement], list[Problem]]]] = {
    "vqa": read_vqa,
    "nlvr2": read_nlvr2,
}


@dataclass(frozen=True)
class TrainingData:
    """What is trained on; the digest tells whether a run that is gone on with has the same again."""

    items: list[Item]
    digest: str


def read_data(
    recipe: str, sets: list[DataSet], asked: Asked, tell: Callable[[str], None], show: ProgressCallback
) -> TrainingData:
    """What is to be trained on, whole and sound; what could not be used is told.

    Raises:
        DatasetError: it cannot be read, or too much of it cannot be used.
    """
    items: list[Item]
    workers, max_bad = asked.get("workers", 2), asked.get("max_bad")
    if recipe in _READERS:
        items, problems = _read_other_task(recipe, sets, workers, show)
        enforce_limit(problems, max_bad, len(items))
    else:
        if sets:
            reading = read_sets(sets, max_bad, workers, show)
        else:
            reading = check_pictures(_of_library(asked.get("library")), workers, show)
            enforce_limit(reading.problems, max_bad, len(reading.pictures))
        items, problems = list(reading.pictures), reading.problems
        if "teacher" not in asked:
            items = [picture for picture in reading.pictures if picture.captions]
            if without := len(reading.pictures) - len(items):
                tell(f"{without:,} pictures without words are left out; --teacher can learn from them")
    tell_problems(problems)
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr(item).encode(errors="replace"))
    return TrainingData(items, digest.hexdigest())


def _read_other_task(
    recipe: str, sets: list[DataSet], workers: int, show: ProgressCallback
) -> tuple[list[Item], list[Problem]]:
    if len(sets) != 1:
        raise UsageError(f"--task {recipe} learns from one set", "Give the folder of its files as --data, once")
    found, problems = _READERS[recipe](sets[0].data, sets[0].images)
    files = dict.fromkeys(file for item in found for file in _pictures_of(item))
    checked = check_pictures([CaptionedPicture(file, ()) for file in files], workers, show)
    sound = {picture.file for picture in checked.pictures}
    return [item for item in found if sound.issuperset(_pictures_of(item))], problems + checked.problems


def _pictures_of(item: Question | Statement) -> tuple[Path, ...]:
    return (item.picture,) if isinstance(item, Question) else (item.left, item.right)


def _of_library(library: str | None) -> list[CaptionedPicture]:
    with Library.open(library_place(library)) as opened:
        pictures = [CaptionedPicture(photo.path, photo.captions) for photo in opened.captioned_photos()]
    if len(pictures) < 2:
        raise DatasetError(
            f"the library has {len(pictures)} captioned photos, and training needs pairs of picture and words",
            "Put a caption into photo.txt beside photo.jpg, or a title or caption into its metadata, and index again; "
            "or give --data dataset.json --images DIR",
        )
    return pictures
