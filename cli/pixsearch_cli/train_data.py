"""What `pixsearch train` learns from: read, looked at, and what could not be used told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator

from pixsearch import Library
from pixsearch.errors import DatasetError, UsageError
from pixsearch.progress import ProgressCallback
from pixsearch.settings import library_place
from pixsearch.storage import FilePath
from pixsearch_cli.output import tell_problems
from pixsearch_cli.train_options import Asked
from pixsearch_trainer.data.checking import check_together, enforce_limit
from pixsearch_trainer.data.nlvr2 import Statement, read_nlvr2
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.sets import DataSet, read_sets
from pixsearch_trainer.data.vqa import Question, read_vqa
from pixsearch_trainer.optimisation.accelerator import on_main_process

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
    recipe: str,
    sets: list[DataSet],
    asked: Asked,
    tell: Callable[[str], None],
    show: ProgressCallback,
    accelerator: Accelerator,
) -> TrainingData:
    """What is to be trained on, whole and sound, the same in every process; what could not be used is told.

    One process reads what there is; each decodes its share of the pictures to see whether they are sound.

    Raises:
        DatasetError: it cannot be read, or too much of it cannot be used.
    """
    workers, max_bad = asked.get("workers", 2), asked.get("max_bad")
    items, problems = on_main_process(accelerator, lambda: _read(recipe, sets, asked))
    enforce_limit(problems, max_bad, len(items))
    files = dict.fromkeys(file for item in items for file in _pictures_of(item))
    faults = check_together(accelerator, [CaptionedPicture(file, ()) for file in files], workers, show)
    unsound = {fault.file for fault in faults}
    items = [item for item in items if unsound.isdisjoint(_pictures_of(item))]
    problems = problems + faults
    enforce_limit(problems, max_bad, len(items))
    if "teacher" not in asked:
        with_words = [item for item in items if not isinstance(item, CaptionedPicture) or item.captions]
        if without := len(items) - len(with_words):
            tell(f"{without:,} pictures without words are left out; --teacher can learn from them")
        items = with_words
    if accelerator.is_main_process:
        tell_problems(problems)
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr(item).encode(errors="replace"))
    return TrainingData(items, digest.hexdigest())


def _read(recipe: str, sets: list[DataSet], asked: Asked) -> tuple[list[Item], list[Problem]]:
    """What is named, whether or not it can be decoded."""
    if recipe in _READERS:
        if len(sets) != 1:
            raise UsageError(f"--task {recipe} learns from one set", "Give the folder of its files as --data, once")
        images = sets[0].images
        found, problems = _READERS[recipe](_local(sets[0].data), None if images is None else _local(images))
        return list(found), problems
    if sets:
        reading = read_sets(sets)
        return list(reading.pictures), reading.problems
    return list(_of_library(asked.get("library"))), []


def _local(path: FilePath) -> Path:
    if not isinstance(path, Path):
        raise UsageError(f"{path} is not on this machine", "Give VQA's and NLVR2's files from a local folder")
    return path


def _pictures_of(item: Item) -> tuple[FilePath, ...]:
    if isinstance(item, CaptionedPicture):
        return (item.file,)
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
