"""A run of `pixsearch train`, from what was asked to the line that says how to search with it."""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from pixsearch import Library
from pixsearch.errors import DatasetError
from pixsearch.model.checkpoints import find_checkpoint, load_network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import ProgressCallback, silent
from pixsearch.settings import library_folder, models_folder
from pixsearch_cli.output import progress_bars, say
from pixsearch_cli.train_options import (
    Asked,
    bridge_options,
    data_sets,
    end_to_end_options,
    go_on,
    objective_options,
    one_step,
    recipe_of,
    seen_as,
)
from pixsearch_trainer.bridge.run import train_bridge
from pixsearch_trainer.data.checking import check_pictures, enforce_limit
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.sets import DataSet, read_sets
from pixsearch_trainer.end_to_end.pairs import train_on_pairs
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.optimisation.accelerator import make_accelerator, on_main_process
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights import assemble
from pixsearch_trainer.starting_weights.other_task import Fresh, for_task

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network

_NAMED_PROBLEMS = 5
_OWN_NAMES = {"retrieval": "my-photos", "pretrain": "my-pretraining", "vqa": "my-vqa", "nlvr2": "my-nlvr2"}
_PICTURES_OF_A_DRY_RUN = 64


@dataclass(frozen=True)
class _Data:
    """What is trained on; the digest tells whether a run that is gone on with has the same again."""

    pictures: list[CaptionedPicture]
    digest: str


def run(asked: dict[str, Any]) -> None:
    """Do what was asked of `pixsearch train`; in each of the processes that torchrun has started.

    Raises PixsearchError.
    """
    asked = {name: _storable(value) for name, value in asked.items()}
    out = Path(asked.get("out", models_folder() / _OWN_NAMES[asked.get("task", "retrieval")]))
    folder = RunFolder(out)
    begun = folder.options() if asked.get("resume") else None
    if begun is not None:
        asked = go_on(asked, begun["asked"])
    recipe, sets = recipe_of(asked), data_sets(asked)
    accelerator = make_accelerator(asked.get("precision"))
    tell = say if accelerator.is_main_process else _mute
    with progress_bars() if accelerator.is_main_process else nullcontext(silent) as show:
        network, processor, fresh = _start(asked)

        def prepare() -> _Data:
            data = _read(sets, asked, tell, show)
            if begun is not None and begun["data"] != data.digest:
                raise DatasetError(
                    "the data is not what it was when the run began",
                    "Put it back as it was, or begin anew without --resume",
                )
            if begun is None and not asked.get("dry_run"):
                kept = {name: value for name, value in asked.items() if name != "out"}
                folder.begin({"asked": kept, "data": data.digest})
            return data

        pictures = on_main_process(accelerator, prepare).pictures
        job = _Job(asked, recipe, network, processor, pictures, fresh, tell, show)
        if asked.get("dry_run"):
            job.dry_run(accelerator)
        else:
            job.train(out, accelerator)


@dataclass(frozen=True)
class _Job:
    """All that a training needs but for where it writes."""

    asked: Asked
    recipe: str
    network: Network
    processor: PixelBertProcessor
    pictures: list[CaptionedPicture]
    fresh: Fresh
    tell: Callable[[str], None]
    show: ProgressCallback

    def train(self, out: Path, accelerator: Accelerator) -> None:
        started = time.monotonic()
        self._train(out, self.pictures, lambda options: options)
        if accelerator.is_main_process:
            pictures = of_split(self.pictures, "train")
            captions = len({caption for picture in pictures for caption in picture.captions})
            minutes = (time.monotonic() - started) / 60
            print(f"{out}: {len(pictures):,} pictures, {captions:,} captions, {minutes:.0f} minutes")
            if self.recipe == "pretrain":
                print(f"Fine-tune it: pixsearch train --model {out} --data FILE --images DIR")
            else:
                print(f"Search with it: pixsearch index --model {out} FOLDER")

    def dry_run(self, accelerator: Accelerator) -> None:
        """One step of each stage on the first pictures, into a folder that is thrown away."""
        batch = self.asked.get("batch", _PICTURES_OF_A_DRY_RUN) * accelerator.num_processes
        some = of_split(self.pictures, "train")[: max(batch, _PICTURES_OF_A_DRY_RUN)]
        some += of_split(self.pictures, "val")[:_PICTURES_OF_A_DRY_RUN]
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            self._train(Path(folder), some, one_step)
        if accelerator.is_main_process:
            seconds = time.monotonic() - started
            print(
                f"dry run: {len(self.pictures):,} pictures are sound; a step of each stage took {seconds:.0f} s and "
                f"{_peak_memory() / 1e9:.1f} GB at most; nothing was written"
            )

    def _train(self, out: Path, pictures: Sequence[CaptionedPicture], shortened: Callable[[Any], Any]) -> None:
        resume = bool(self.asked.get("resume"))
        if self.recipe == "bridge":
            options = shortened(bridge_options(self.asked, len(of_split(pictures, "train"))))
            arguments = self.network, self.processor, pictures, out, options, self.fresh, resume, self.tell, self.show
            train_bridge(*arguments)  # type: ignore[arg-type]  # the recipe is of retrieval, and so is the network
            return
        teacher = None
        captioned = all(picture.captions for picture in pictures)
        if "teacher" in self.asked:
            pictures, teacher = self._ask_teacher(pictures)
        train_on_pairs(
            self.network,
            self.processor,
            pictures,
            out,
            objective_options(self.asked, self.recipe, captioned),
            shortened(end_to_end_options(self.asked)),
            self.fresh,
            resume,
            self.tell,
            self.show,
            teacher,
        )

    def _ask_teacher(self, pictures: Sequence[CaptionedPicture]) -> tuple[list[CaptionedPicture], TeacherEmbeddings]:
        from pixsearch_trainer.teacher import Teacher
        from pixsearch_trainer.teacher_pairs import pairs_of_teacher

        texts = self.asked.get("teacher_texts")
        training, embeddings = pairs_of_teacher(
            Teacher.load(self.asked["teacher"]),
            of_split(pictures, "train"),
            None if texts is None else Path(texts),
            self.processor.tokenizer,
            self.asked.get("workers", 2),
            self.show,
        )
        return training + of_split(pictures, "val"), embeddings


def _start(asked: Asked) -> tuple[Network, PixelBertProcessor, Fresh]:
    """The network that training begins with, and what of it starts there."""
    task = asked.get("task", "retrieval")
    if "backbone" in asked:
        cnn, language_model = asked.get("cnn", "torchvision"), asked.get("language_model", "bert-base-uncased")
        return *for_task(task, *assemble(asked["backbone"], cnn, language_model, **seen_as(asked))), "all"
    network, processor = load_network(find_checkpoint(asked.get("model")))
    return *for_task(task, network, processor), "nothing" if processor.config.task == task else "maps"


def _read(sets: list[DataSet], asked: Asked, tell: Callable[[str], None], show: ProgressCallback) -> _Data:
    workers = asked.get("workers", 2)
    if sets:
        reading = read_sets(sets, asked.get("max_bad"), workers, show)
    else:
        reading = check_pictures(_of_library(asked.get("library")), workers, show)
        enforce_limit(reading.problems, asked.get("max_bad"), len(reading.pictures))
    for problem in reading.problems[:_NAMED_PROBLEMS]:
        tell(f"passed over: {problem}")
    if (more := len(reading.problems) - _NAMED_PROBLEMS) > 0:
        tell(f"passed over: {more:,} more problems of the data")
    pictures = reading.pictures
    if "teacher" not in asked:
        captioned = [picture for picture in pictures if picture.captions]
        if without := len(pictures) - len(captioned):
            tell(f"{without:,} pictures without words are left out; --teacher can learn from them")
        pictures = captioned
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr((picture.file, picture.captions, picture.split, picture.weight)).encode(errors="replace"))
    return _Data(pictures, digest.hexdigest())


def _of_library(library: str | None) -> list[CaptionedPicture]:
    with Library.open(library_folder(None if library is None else Path(library))) as opened:
        pictures = [CaptionedPicture(photo.path, photo.captions) for photo in opened.captioned_photos()]
    if len(pictures) < 2:
        raise DatasetError(
            f"the library has {len(pictures)} captioned photos, and training needs pairs of picture and words",
            "Put a caption into photo.txt beside photo.jpg, or a title or caption into its metadata, and index again; "
            "or give --data dataset.json --images DIR",
        )
    return pictures


def _storable(value: Any) -> Any:
    """As JSON can have it, and as another working directory can use it: paths become absolute."""
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).exists()):
        return str(Path(value).absolute())
    return value


def _peak_memory() -> int:
    """Bytes at most so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _mute(_line: str) -> None:
    """What the other processes say."""
