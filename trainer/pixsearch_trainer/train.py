"""Train a checkpoint. The command and the benchmarks call `train`, in each process started by torchrun."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pixsearch.decoding import cores
from pixsearch.errors import DatasetError, UsageError
from pixsearch.library.library import Library
from pixsearch.model.checkpoints import find_checkpoint, load_network
from pixsearch.model.networks import Network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.words import add_words
from pixsearch.printable import plural
from pixsearch.progress import ProgressCallback, silent
from pixsearch.settings import library_location, models_folder
from pixsearch.storage import to_path
from pixsearch_trainer.data.checking import enforce_limit
from pixsearch_trainer.data.pack import Item, is_pack, read_pack, write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.reading import DataSet, read_sets
from pixsearch_trainer.finishing import finish, give_graphs
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.recipes import recipe_named
from pixsearch_trainer.recipes.material import Material, as_pictures
from pixsearch_trainer.recipes.recipe import Recipe, Task
from pixsearch_trainer.run.accelerator import make_accelerator, on_main_process
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.state import RunFolder
from pixsearch_trainer.starting_weights import assemble, for_task
from pixsearch_trainer.teacher import Teacher, TeacherEmbeddings, caption_by_teacher

_PACK_SCALE = 10 / 9  # relative to the CNN's input: large enough for crops, while packs stay small
_ITEMS_OF_A_DRY_RUN = 64
_MOST_WORKERS = 8  # each keeps two batches of pixels in shared memory: 1 GB for 512 pictures


@dataclass(frozen=True)
class Report:
    """The result of a training run."""

    out: Path
    pictures: int
    """The number of pictures in the train split."""
    captions: int
    """The number of distinct captions in the train split."""
    minutes: float
    """The duration of this process, excluding the time before a resume."""
    task: str = "retrieval"
    """The task of the checkpoint; only a checkpoint for retrieval can search."""


@dataclass(frozen=True)
class Listener:
    """The callbacks of a run, for messages, progress and problems in the data."""

    on_message: Callable[[str], None] = lambda _line: None
    on_progress: ProgressCallback = silent
    on_problems: Callable[[Sequence[Problem]], None] = lambda _problems: None


def train(options: TrainOptions, listener: Listener) -> Report:
    """Train, and save in `out` the checkpoint that is best on val. With `pack`, only pack the data.

    Raises:
        UsageError: the options conflict with each other, the recipe or the run to resume.
        DatasetError: the data cannot be read, or has too many problems.
        Interrupted: the run was stopped by Ctrl-C or SIGTERM; the step is saved.
        TrainingFailed: a loss is not finite, or memory ran out.
    """
    started = time.monotonic()
    folder = RunFolder(Path(options.out) if options.out else models_folder() / "my-photos")
    if options.resume:
        options = options.resumed(folder.options())
        if not _pack(options, folder).exists():
            raise UsageError(
                f"the run in {folder.out} stopped before its pictures were packed", "Start again without --resume"
            )
    elif not (options.dry_run or options.pack):
        folder.refuse_unfinished()
    recipe = recipe_named(options.recipe)
    settings, task = recipe.settings(options), recipe.task(options)
    _refuse_contradictions(options)
    torch.manual_seed(options.seed)  # for new parts of the network
    network, processor = _start(options, settings)  # done before reading the data, which may take a long time
    accelerator = make_accelerator(options.precision)
    listener = listener if accelerator.is_main_process else Listener()
    with tempfile.TemporaryDirectory() as scratch:
        if options.dry_run:
            folder = RunFolder(Path(on_main_process(accelerator, lambda: scratch)) / "model")
        if not options.resume:
            edge = round(_PACK_SCALE * processor.config.input_size)
            on_main_process(accelerator, lambda: _begin(options, recipe, folder, edge, listener))
        items = _items_of(_pack(options, folder), task)
        if options.teacher is None:  # a pack made for a teacher may have pictures without captions
            items = [item for item in items if not isinstance(item, CaptionedPicture) or item.captions]
        if not options.pack:
            answers = task.answers([item for item in items if item.split == "train"])
            network, processor = for_task(task.name, network, processor, answers)
            if not recipe.calibrates:  # the calibration was fitted on different weights
                network.config = processor.config = dataclasses.replace(network.config, calibration=None)
            minutes = None if options.dry_run else options.minutes
            callbacks = listener.on_message, listener.on_progress
            run = Run(network, processor, folder, accelerator, *callbacks, options.seed, minutes, started)
            workers = options.workers
            if workers is None:
                workers = min(cores() // accelerator.num_processes, _MOST_WORKERS)
            material = Material(run, *_taught(options, items, run), workers)
            run.train(recipe.plan(options, settings, material), options.resume)
            if accelerator.is_main_process:
                if task.name == "retrieval":
                    pictures = material.training.pictures
                    texts = (text for one in pictures for text in (*one.captions, *one.queries, *one.labels))
                    add_words(folder.out, processor.words_taught, texts)
                    if not options.dry_run:
                        give_graphs(folder.out, find_checkpoint(options.model), listener.on_message)
                if recipe.calibrates and not options.dry_run:
                    finish(folder.out, material.val, *callbacks)
                folder.end()
    training = of_split(as_pictures(items), "train")
    captions = len({caption for picture in training for caption in picture.captions})
    return Report(folder.out, len(training), captions, (time.monotonic() - started) / 60, task.name)


def _refuse_contradictions(options: TrainOptions) -> None:
    """Raise UsageError if options conflict with each other."""
    data = len(options.data)
    for name, given in (("images", options.images), ("weight", options.weight)):
        if given and len(given) != data:
            raise UsageError(f"got {data} --data but {len(given)} --{name}", f"Use one --{name} for each --data")
    if any(weight <= 0 for weight in options.weight):
        raise UsageError("--weight must be positive", "To exclude a data set, remove its --data")
    if data and options.library is not None:
        raise UsageError("--data and --library cannot be used together", "Omit one of them")
    if options.teacher_texts is not None and options.teacher is None:
        raise UsageError(
            "--teacher-texts has no effect without --teacher", "Add --teacher, or leave out --teacher-texts"
        )
    if options.pack and options.dry_run:
        raise UsageError("--pack and --dry-run cannot be used together", "Omit one of them")
    if options.pack and Path(options.pack).exists():
        raise UsageError(f"{options.pack} already exists", "Choose a different --pack, or delete the file")


def _start(options: TrainOptions, settings: Any) -> tuple[Network, PixelBertProcessor]:
    """Load the chosen checkpoint.

    By default, assemble the parts in the recipe or, if it has none, load the shipped checkpoint.
    """
    joins_parts = hasattr(settings, "start")
    if options.model is None and joins_parts:
        return assemble(settings.start)
    if joins_parts and any(setting.startswith("start.") for setting in options.set):
        raise UsageError("--model and --set start.* cannot be used together", "Omit one of them")
    return load_network(find_checkpoint(options.model))


def _begin(options: TrainOptions, recipe: Recipe, folder: RunFolder, edge: int, listener: Listener) -> None:
    """Read and pack the data, and create the run's folder. Raises DatasetError, UsageError."""
    items, problems = _read(options, recipe)
    enforce_limit(problems, options.max_bad, len(items))
    if options.dry_run:
        by_split = ([item for item in items if item.split == split] for split in ("train", "val"))
        items = [item for some in by_split for item in some[:_ITEMS_OF_A_DRY_RUN]]
    if not options.pack:
        folder.begin(options.as_json())
    pack = _pack(options, folder)
    if not pack.exists() or pack == folder.pack:
        try:
            problems = [*problems, *write_pack(items, pack, edge, listener.on_progress)]
            enforce_limit(problems, options.max_bad, len(items))
        except BaseException:
            pack.unlink(missing_ok=True)
            if not options.pack:
                folder.end()  # so that --resume does not find the failed run
            raise
    listener.on_problems(problems)


def _pack(options: TrainOptions, folder: RunFolder) -> Path:
    """Return the pack to use: `pack`, the data if it is a pack, or a file in the run's folder."""
    if options.pack:
        return Path(options.pack)
    only = to_path(options.data[0]) if len(options.data) == 1 and not options.dry_run else None
    return only if only is not None and is_pack(only) else folder.pack


def _read(options: TrainOptions, recipe: Recipe) -> tuple[Sequence[Item], list[Problem]]:
    """Return the items in the data, without decoding their pictures, and the problems found."""
    if not options.data:
        return _of_library(options.library), []
    task, count = recipe.task(options), len(options.data)
    data = [to_path(one) for one in options.data]
    images = [to_path(one) if one else None for one in options.images or [None] * count]
    if task.read is not None:
        if count != 1 or not isinstance(data[0], Path):
            raise UsageError(
                f"--stage {task.name} requires exactly one local --data", "Use --data with the folder of the data set"
            )
        if is_pack(data[0]):
            return _items_of(data[0], task), []
        return task.read(data[0], images[0] if isinstance(images[0], Path) else None)
    reading = read_sets(list(map(DataSet, data, images, options.weight or [1.0] * count)))
    captioned = [picture for picture in reading.pictures if picture.captions]
    without = len(reading.pictures) - len(captioned)
    if options.teacher is not None or not without:
        return reading.pictures, reading.problems
    hint = "; --teacher can learn from them" if "teacher" in recipe.uses else ""
    return captioned, [
        *reading.problems,
        Problem(data[0], None, f"{plural(without, 'picture')} without captions{hint}"),
    ]


def _of_library(library: str | None) -> list[CaptionedPicture]:
    with Library.open(library_location(library)) as opened:
        pictures = [CaptionedPicture(photo.path, photo.captions) for photo in opened.captioned_photos()]
    if len(pictures) < 2:
        raise DatasetError(
            f"training needs at least 2 captioned photos, but the library has {len(pictures)}",
            "Add captions in photo.txt next to photo.jpg, or titles or captions in the metadata, and index again; "
            "or use --data dataset.json --images DIR",
        )
    return pictures


def _taught(options: TrainOptions, items: Sequence[Item], run: Run) -> tuple[Sequence[Item], TeacherEmbeddings | None]:
    """Return the items, with captions and embeddings from the teacher if there is one."""
    if options.teacher is None:
        return items, None
    pictures, texts = as_pictures(items), None if options.teacher_texts is None else Path(options.teacher_texts)
    teacher, training = Teacher.load(options.teacher), of_split(pictures, "train")
    training, embeddings = caption_by_teacher(teacher, training, texts, run.processor.tokenizer, run.on_progress)
    return [*training, *of_split(pictures, "val")], embeddings


def _items_of(pack: Path, task: Task) -> list[Item]:
    """Return the items in a pack. Raises DatasetError if they are for a different task."""
    items = read_pack(pack)
    if not all(isinstance(item, task.item) for item in items):
        message = f"{pack} is not a pack for the task {task.name}"
        raise DatasetError(message, "Choose a different pack or --stage")
    return items
