"""`train`: from the options to the checkpoint. The command and the benchmarks call it, in each process of torchrun."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from pixsearch.decoding import cores
from pixsearch.errors import DatasetError, UsageError
from pixsearch.library.library import Library
from pixsearch.model.checkpoints import find_checkpoint, load_network
from pixsearch.model.networks import Network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import ProgressCallback, silent
from pixsearch.settings import library_place, models_folder
from pixsearch.storage import to_path
from pixsearch_trainer.data.checking import enforce_limit
from pixsearch_trainer.data.nlvr2 import Statement, read_nlvr2
from pixsearch_trainer.data.pack import Item, is_pack, read_pack, write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.reading import DataSet, read_sets
from pixsearch_trainer.data.vqa import Question, common_answers, read_vqa
from pixsearch_trainer.finishing import finish
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.recipes import recipe_named
from pixsearch_trainer.recipes.material import Material, as_pictures
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.run.accelerator import make_accelerator, on_main_process
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.state import RunFolder
from pixsearch_trainer.starting_weights import Start, assemble, for_task

_PACK_SCALE = 10 / 9  # of the CNN's input: room for crops, in a file that can still travel
_ITEMS_OF_A_DRY_RUN = 64
_MOST_WORKERS = 8  # each holds two batches of pixels in shared memory: 1 GB of 512 pictures
_READERS: dict[str, Callable[[Path, Path | None], tuple[Sequence[Item], list[Problem]]]] = {
    "vqa": read_vqa,
    "nlvr2": read_nlvr2,
}
_KINDS: dict[str, type[Item]] = {"vqa": Question, "nlvr2": Statement}


@dataclass(frozen=True)
class Report:
    """The result of a run."""

    out: Path
    pictures: int
    """Of the split train, as are the captions."""
    captions: int
    minutes: float
    """Of this process; excludes the time before a resume."""
    task: str = "retrieval"
    """Of the checkpoint; only one for retrieval can search."""


@dataclass(frozen=True)
class Listener:
    """Who hears of a run: lines for people, progress, and what cannot be used of the data."""

    say: Callable[[str], None] = lambda _line: None
    on_progress: ProgressCallback = silent
    on_problems: Callable[[Sequence[Problem]], None] = lambda _problems: None


def train(asked: TrainOptions, listener: Listener) -> Report:
    """Train, and leave in `out` the checkpoint that val likes best; or, if asked to, only pack the data.

    Raises:
        UsageError: options that contradict each other, the recipe or the run to resume.
        DatasetError: the data cannot be read, or too much of it cannot be used.
        Interrupted: by Ctrl-C or SIGTERM, after the step was saved.
        TrainingFailed: a loss is not finite, or memory ran out.
    """
    began = time.monotonic()
    folder = RunFolder(Path(asked.out) if asked.out else models_folder() / "my-photos")
    if asked.resume:
        asked = asked.resumed(folder.options())
        if not _pack(asked, folder).exists():
            raise UsageError(
                f"the run in {folder.out} stopped before its pictures were packed", "Start it again without --resume"
            )
    elif not (asked.dry_run or asked.pack):
        folder.refuse_unfinished()
    recipe = recipe_named(asked.recipe)
    settings, names = recipe.settings(asked), recipe.chosen(asked)
    _refuse_contradictions(asked, names)
    torch.manual_seed(asked.seed)  # fresh parts of the network
    network, processor = _start(asked, settings)  # before the data is read, which may take long
    accelerator = make_accelerator(asked.precision)
    listener = listener if accelerator.is_main_process else Listener()
    with tempfile.TemporaryDirectory() as scratch:
        if asked.dry_run:
            folder = RunFolder(Path(on_main_process(accelerator, lambda: scratch)) / "model")
        if not asked.resume:
            edge = round(_PACK_SCALE * processor.config.input_size)
            on_main_process(accelerator, lambda: _begin(asked, recipe, names, folder, edge, listener))
        items = _items_of(_pack(asked, folder), _task(names))
        if asked.teacher is None:  # a pack made for a teacher has others
            items = [item for item in items if not isinstance(item, CaptionedPicture) or item.captions]
        if not asked.pack:
            _train(asked, recipe, settings, names, network, processor, items, folder, accelerator, listener, began)
    training = of_split(as_pictures(items), "train")
    captions = len({caption for picture in training for caption in picture.captions})
    return Report(folder.out, len(training), captions, (time.monotonic() - began) / 60, _task(names))


def _train(
    asked: TrainOptions,
    recipe: Recipe,
    settings: Any,
    names: Sequence[str],
    network: Network,
    processor: PixelBertProcessor,
    items: Sequence[Item],
    folder: RunFolder,
    accelerator: Accelerator,
    listener: Listener,
    began: float,
) -> None:
    """Train on packed items."""
    task, answers = _task(names), tuple[str, ...]()
    if task == "vqa":
        answers = common_answers([item for item in items if item.split == "train"])  # type: ignore[misc]
    network, processor = for_task(task, network, processor, answers)
    if not recipe.calibrates:  # what it had was fitted on other weights
        network.config = processor.config = dataclasses.replace(network.config, calibration=None)
    spent = (time.monotonic() - began) / 60
    minutes = None if asked.minutes is None or asked.dry_run else asked.minutes - spent
    run = Run(network, processor, folder, accelerator, listener.say, listener.on_progress, asked.seed, minutes)
    pictures, teacher = _taught(asked, items, processor, listener.on_progress)
    workers = asked.workers if asked.workers is not None else min(cores() // accelerator.num_processes, _MOST_WORKERS)
    material = Material(run, pictures, workers, teacher)
    if recipe.adjust is not None:
        enough = asked.dry_run or bool(asked.stage)  # each stage is tried, and one that is named runs
        settings = recipe.adjust(settings, sys.maxsize if enough else len(material.training))
    if asked.dry_run:
        settings = _one_step_each(settings, names)
    run.train(recipe.plan(names, settings, material), asked.resume)
    if accelerator.is_main_process:
        if recipe.calibrates and not asked.dry_run:
            finish(folder.out, material.val, listener.say, listener.on_progress)
        folder.end()


def _refuse_contradictions(asked: TrainOptions, names: Sequence[str]) -> None:
    """Raise UsageError for options that contradict each other."""
    if asked.teacher_texts is not None and asked.teacher is None:
        raise UsageError("--teacher-texts has no effect without --teacher", "Add --teacher, or leave it out")
    if asked.pack and asked.dry_run:
        raise UsageError("--pack writes a file and --dry-run writes nothing", "Leave out one of them")
    if asked.pack and Path(asked.pack).exists():
        raise UsageError(f"{asked.pack} exists already", "Choose another --pack, or delete it")
    if (task := _task(names)) in _READERS and len(names) > 1:
        raise UsageError(f"--stage {task} cannot be combined with other stages", "Run each by itself")


def _start(asked: TrainOptions, settings: Any) -> tuple[Network, PixelBertProcessor]:
    """The checkpoint named, or the parts that the recipe joins, or the checkpoint that ships."""
    start: Start | None = getattr(settings, "start", None)
    if asked.model is None and start is not None:
        return assemble(start)
    if any(setting.startswith("start.") for setting in asked.set) and start is not None:
        raise UsageError("--model and --set start.* both choose where to start", "Leave out one of them")
    return load_network(find_checkpoint(asked.model))


def _begin(
    asked: TrainOptions, recipe: Recipe, names: Sequence[str], folder: RunFolder, edge: int, listener: Listener
) -> None:
    """Read and pack the data, and make the run's folder. Raises DatasetError, UsageError."""
    items, problems = _read(asked, _task(names), "teacher" in recipe.uses)
    enforce_limit(problems, asked.max_bad, len(items))
    if asked.dry_run:
        by_split = ([item for item in items if item.split == split] for split in ("train", "val"))
        items = [item for some in by_split for item in some[:_ITEMS_OF_A_DRY_RUN]]
    if not asked.pack:
        folder.begin(asked.as_json())
    pack = _pack(asked, folder)
    if not pack.exists() or pack == folder.pack:
        try:
            problems = [*problems, *write_pack(items, pack, edge, listener.on_progress)]
            enforce_limit(problems, asked.max_bad, len(items))
        except BaseException:
            pack.unlink(missing_ok=True)
            if not asked.pack:
                folder.end()  # --resume must not find it
            raise
    listener.on_problems(problems)


def _pack(asked: TrainOptions, folder: RunFolder) -> Path:
    """Where the packed pictures are: in the file asked for, in the data if that is one pack, or in the run's folder."""
    if asked.pack:
        return Path(asked.pack)
    only = to_path(asked.data[0]) if len(asked.data) == 1 and not asked.dry_run else None
    return only if only is not None and is_pack(only) else folder.pack


def _read(asked: TrainOptions, task: str, may_be_taught: bool) -> tuple[list[Item], list[Problem]]:
    """What is named, whether or not it can be decoded."""
    sets = _data_sets(asked)
    if task in _READERS:
        if len(sets) != 1 or not isinstance(sets[0].data, Path):
            raise UsageError(f"--stage {task} takes one --data on this machine", "Provide the folder of its files")
        if is_pack(sets[0].data):
            return _items_of(sets[0].data, task), []
        images = sets[0].images
        found, problems = _READERS[task](sets[0].data, images if isinstance(images, Path) else None)
        return list(found), problems
    if not sets:
        return list(_of_library(asked.library)), []
    reading = read_sets(sets)
    pictures = reading.pictures
    if asked.teacher is None and (without := sum(not picture.captions for picture in pictures)):
        pictures = [picture for picture in pictures if picture.captions]
        hint = "; --teacher can learn from them" if may_be_taught else ""
        noun = "picture" if without == 1 else "pictures"
        problem = Problem(sets[0].data, None, f"{without:,} {noun} without captions{hint}")
        return list(pictures), [*reading.problems, problem]
    return list(pictures), reading.problems


def _data_sets(asked: TrainOptions) -> list[DataSet]:
    """The sets that --data, --images and --weight name. Raises UsageError where their numbers differ."""
    images: Sequence[str | None] = asked.images or [None] * len(asked.data)
    weights = asked.weight or [1.0] * len(asked.data)
    for name, given in (("images", images), ("weight", weights)):
        if len(given) != len(asked.data):
            raise UsageError(
                f"{len(asked.data)} --data, but {len(given)} --{name}", f"Give each --data its own --{name}"
            )
    if any(weight <= 0 for weight in weights):
        raise UsageError("--weight must be positive", "Leave out a set rather than give it no weight")
    if asked.data and asked.library is not None:
        raise UsageError("--data and --library both choose the data", "Leave out one of them")
    return [
        DataSet(to_path(data), None if folder is None else to_path(folder), weight)
        for data, folder, weight in zip(asked.data, images, weights, strict=True)
    ]


def _of_library(library: str | None) -> list[CaptionedPicture]:
    with Library.open(library_place(library)) as opened:
        pictures = [CaptionedPicture(photo.path, photo.captions) for photo in opened.captioned_photos()]
    if len(pictures) < 2:
        raise DatasetError(
            f"the library has {len(pictures)} captioned photos; training needs 2 or more",
            "Put a caption into photo.txt beside photo.jpg, or a title or caption into its metadata, and index again; "
            "or use --data dataset.json --images DIR",
        )
    return pictures


def _taught(
    asked: TrainOptions, items: Sequence[Item], processor: PixelBertProcessor, on_progress: ProgressCallback
) -> tuple[Sequence[Any], TeacherEmbeddings | None]:
    """The items, with captions by the teacher where there is one, and its embeddings."""
    if asked.teacher is None:
        return items, None
    from pixsearch_trainer.teacher import Teacher, caption_by_teacher  # loads all of transformers' models

    pictures, texts = as_pictures(items), None if asked.teacher_texts is None else Path(asked.teacher_texts)
    teacher = Teacher.load(asked.teacher)
    training, embeddings = caption_by_teacher(
        teacher, of_split(pictures, "train"), texts, processor.tokenizer, on_progress
    )
    return [*training, *of_split(pictures, "val")], embeddings


def _items_of(pack: Path, task: str) -> list[Item]:
    """The items of a pack. Raises DatasetError where they are those of another task."""
    items = read_pack(pack)
    if not all(isinstance(item, _KINDS.get(task, CaptionedPicture)) for item in items):
        raise DatasetError(f"{pack} is a pack for another task than {task}", "Name another pack, or another --stage")
    return items


def _task(names: Sequence[str]) -> str:
    return next((name for name in names if name in _READERS), "retrieval")


def _one_step_each(settings: Any, names: Sequence[str]) -> Any:
    """The settings with a single step for each stage that has any."""
    steps = {name: getattr(settings, name) for name in names}
    once = {name: dataclasses.replace(stage, steps=1) for name, stage in steps.items() if stage.steps != 0}
    return dataclasses.replace(settings, **once)
