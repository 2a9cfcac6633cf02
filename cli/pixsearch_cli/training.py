"""A run of `pixsearch train`, from what was asked to the line that says how to search with it."""

from __future__ import annotations

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

from pixsearch.errors import DatasetError
from pixsearch.model.checkpoints import find_checkpoint, load_network
from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.vqa import PixelBertForVQA
from pixsearch.progress import ProgressCallback, silent
from pixsearch.settings import models_folder
from pixsearch.storage import to_path
from pixsearch_cli.output import progress_bars, say
from pixsearch_cli.train_data import Item, read_data
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
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.vqa import Question, common_answers
from pixsearch_trainer.end_to_end.nlvr2 import train_nlvr2
from pixsearch_trainer.end_to_end.pairs import train_on_pairs
from pixsearch_trainer.end_to_end.run import EndToEndOptions
from pixsearch_trainer.end_to_end.vqa import train_vqa
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.optimisation.accelerator import make_accelerator, on_main_process
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights import assemble
from pixsearch_trainer.starting_weights.other_task import Fresh, for_task

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network

_OWN_NAMES = {"retrieval": "my-photos", "pretrain": "my-pretraining", "vqa": "my-vqa", "nlvr2": "my-nlvr2"}
_FOLDERS = {"data", "images"}
"""Or files, which may be in object storage."""
_NAMES_OR_PATHS = {"model", "cnn", "language_model", "teacher"}
_ITEMS_OF_A_DRY_RUN = 64


def run(asked: dict[str, Any]) -> None:
    """Do what was asked of `pixsearch train`; in each of the processes that torchrun has started.

    Raises PixsearchError.
    """
    asked = {name: _storable(name, value) for name, value in asked.items()}
    out = Path(asked.get("out", models_folder() / _OWN_NAMES[asked.get("task", "retrieval")]))
    folder = RunFolder(out)
    begun = folder.options() if asked.get("resume") else None
    if begun is not None:
        asked = go_on(asked, begun["asked"])
    elif not asked.get("dry_run"):
        folder.refuse_unfinished()
    recipe, sets = recipe_of(asked), data_sets(asked)
    if "backbone" not in asked:
        find_checkpoint(asked.get("model"))  # before the data is read, which may take long
    accelerator = make_accelerator(asked.get("precision"))
    tell = say if accelerator.is_main_process else _mute
    with progress_bars() if accelerator.is_main_process else nullcontext(silent) as show:
        data = read_data(recipe, sets, asked, tell, show, accelerator)
        if begun is not None and begun["data"] != data.digest:
            raise DatasetError(
                "the data is not what it was when the run began",
                "Put it back as it was, or begin anew without --resume",
            )
        job = _Job(asked, recipe, *_start(asked, data.items), data.items, tell, show)
        if asked.get("dry_run"):
            job.dry_run(accelerator)
            return
        if begun is None:
            kept = {name: value for name, value in asked.items() if name != "out"}
            on_main_process(accelerator, lambda: folder.begin({"asked": kept, "data": data.digest}))
        job.train(out, accelerator)


@dataclass(frozen=True)
class _Job:
    """All that a training needs but for where it writes."""

    asked: Asked
    recipe: str
    network: Network
    processor: PixelBertProcessor
    fresh: Fresh
    items: list[Any]
    """`CaptionedPicture`s; for vqa `Question`s and for nlvr2 `Statement`s."""
    tell: Callable[[str], None]
    show: ProgressCallback

    def train(self, out: Path, accelerator: Accelerator) -> None:
        started = time.monotonic()
        self._train(out, self.items, lambda options: options)
        if accelerator.is_main_process:
            minutes = (time.monotonic() - started) / 60
            print(f"{out}: {self._counted()}, {minutes:.0f} minutes")
            if self.recipe == "pretrain":
                print(f"Fine-tune it: pixsearch train --model {out} --data FILE --images DIR")
            elif self.processor.config.task == "retrieval":
                print(f"Search with it: pixsearch index --model {out} FOLDER")

    def dry_run(self, accelerator: Accelerator) -> None:
        """One step of each stage on the first items, into a folder that is thrown away."""
        batch = self.asked.get("batch", _ITEMS_OF_A_DRY_RUN) * accelerator.num_processes
        some = _of_split(self.items, "train")[: max(batch, _ITEMS_OF_A_DRY_RUN)]
        some += _of_split(self.items, "val")[:_ITEMS_OF_A_DRY_RUN]
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            RunFolder(Path(folder)).begin({})
            self._train(Path(folder), some, one_step)
        if accelerator.is_main_process:
            seconds = time.monotonic() - started
            print(
                f"dry run: {self._counted()} are sound; a step of each stage took {seconds:.0f} s and "
                f"{_peak_memory() / 1e9:.1f} GB at most; nothing was written"
            )

    def _counted(self) -> str:
        training = _of_split(self.items, "train")
        if self.recipe in ("vqa", "nlvr2"):
            return f"{len(training):,} {'questions' if self.recipe == 'vqa' else 'statements'}"
        captions = len({caption for picture in training for caption in picture.captions})
        return f"{len(training):,} pictures, {captions:,} captions"

    def _train(self, out: Path, items: list[Any], shortened: Callable[[Any], Any]) -> None:
        network, resume = self.network, bool(self.asked.get("resume"))
        if self.recipe == "bridge":
            assert isinstance(network, PixelBertForRetrieval)
            bridge = shortened(bridge_options(self.asked, len(_of_split(items, "train"))))
            train_bridge(network, self.processor, items, out, bridge, self.fresh, resume, self.tell, self.show)
            return
        options = shortened(end_to_end_options(self.asked))
        if isinstance(network, PixelBertForVQA):
            train_vqa(network, self.processor, items, out, options, self.fresh, resume, self.tell, self.show)
        elif isinstance(network, PixelBertForNLVR2):
            train_nlvr2(network, self.processor, items, out, options, self.fresh, resume, self.tell, self.show)
        else:
            self._train_on_pairs(out, items, options, resume)

    def _train_on_pairs(
        self, out: Path, pictures: list[CaptionedPicture], options: EndToEndOptions, resume: bool
    ) -> None:
        teacher = None
        objective = objective_options(self.asked, self.recipe, all(picture.captions for picture in pictures))
        if "teacher" in self.asked:
            pictures, teacher = self._ask_teacher(pictures)
        train_on_pairs(
            self.network,
            self.processor,
            pictures,
            out,
            objective,
            options,
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


def _start(asked: Asked, items: list[Item]) -> tuple[Network, PixelBertProcessor, Fresh]:
    """The network that training begins with, and what of it starts there."""
    task = asked.get("task", "retrieval")
    answers: tuple[str, ...] = ()
    if task == "vqa":
        answers = common_answers(item for item in items if isinstance(item, Question) and item.split == "train")
    if "backbone" in asked:
        cnn, language_model = asked.get("cnn", "torchvision"), asked.get("language_model", "bert-base-uncased")
        parts = assemble(asked["backbone"], cnn, language_model, **seen_as(asked))
        return *for_task(task, *parts, answers), "all"
    network, processor = load_network(find_checkpoint(asked.get("model")))
    return *for_task(task, network, processor, answers), "nothing" if processor.config.task == task else "maps"


def _of_split(items: list[Any], split: str) -> list[Any]:
    return [item for item in items if item.split == split]


def _storable(name: str, value: Any) -> Any:
    """As JSON can have it, and as another working directory can use it: paths become absolute."""
    if isinstance(value, list):
        return [_storable(name, one) for one in value]
    if name in _FOLDERS:
        return str(to_path(value).absolute())
    if isinstance(value, Path) or (name in _NAMES_OR_PATHS and Path(value).exists()):
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
