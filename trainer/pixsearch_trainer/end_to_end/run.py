"""A run of a single stage, whatever its task: what is trained, what val says of it, and which checkpoint is kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch

from pixsearch.durable import write_durably
from pixsearch.errors import DatasetError, UsageError
from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.devices import autocast
from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.tensors import picture_tensors
from pixsearch.progress import ProgressCallback
from pixsearch_trainer.batches.draws import Draws, InOrder
from pixsearch_trainer.batches.pairs import PairBatch, PairBatches
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.features import GridsTooLarge, GridStore, decode, encode_grids
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.optimisation.accelerator import Precision, make_accelerator
from pixsearch_trainer.optimisation.log import RunLog
from pixsearch_trainer.optimisation.loop import LoopOptions, Stage, train_stage
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions, build_optimizers
from pixsearch_trainer.optimisation.schedules import Schedule, cosine, step_down
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights.other_task import Fresh

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network

FIGURES_FILE = "figures.json"
_PICTURES_FOR_STATISTICS = 1000


@dataclass(frozen=True)
class EndToEndOptions:
    """What a user chooses of such a run, beside the task's own options."""

    epochs: float = 10
    batch: int = 64
    """Pairs a step and process."""
    train_cnn: bool = False
    """Else it is frozen, runs once a picture, and its grids are kept on disk for the run."""
    train_statistics: bool = False
    """Let the CNN's batch norms take the statistics of these pictures."""
    augment: bool = False
    workers: int = 2
    cache_gb: float = 50.0
    """Largest cache of a frozen CNN's grids on the disk; where they take more, the CNN runs each time."""
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: Literal["cosine", "step"] = "cosine"
    warm_up: float = 0.05
    """Share of the steps."""
    drops: tuple[float, ...] = ()
    """Epochs after which the step schedule falls to a tenth."""
    precision: Precision | None = None
    """None is bf16 where the hardware has it."""
    recompute: bool = False
    compile: bool = False
    tensorboard: bool = False
    measure_every_epochs: float = 1
    loop: LoopOptions = field(default_factory=LoopOptions)


@dataclass(frozen=True)
class Look:
    """What val said after a step."""

    step: int
    score: float
    """The higher the better; the step itself where there is no val."""
    figures: dict[str, object]

    def as_json(self) -> dict[str, object]:
        return {"step": self.step, "score": self.score, **self.figures}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Look:
        return cls(values.pop("step"), values.pop("score"), values)


@dataclass(frozen=True)
class EndToEndReport:
    """What came of a run."""

    folder: Path
    pictures: int
    steps: int
    minutes: float
    """Of this process; a run that was gone on with took longer."""
    best: Look | None
    """What val said of the checkpoint that was kept; None without val."""


class Task(Protocol):
    """What is trained for: its data, its objective, and how val is judged."""

    name: str
    training: list[CaptionedPicture]
    """One an item, but for NLVR2, where an item is two of them, one after the other."""
    validation: list[CaptionedPicture]
    pictures_an_item: int
    others: int
    """Captions of other pictures that come along with each pair."""

    def objective(self, network: Network) -> Objective:
        """What is minimised on the training data."""

    def judge(self, run: EndToEndRun) -> tuple[float, dict[str, object]]:
        """A score on val, the higher the better, and the figures behind it; the network is in eval mode."""


def train_task(
    task: Task,
    network: Network,
    processor: PixelBertProcessor,
    out: Path,
    options: EndToEndOptions,
    fresh: Fresh,
    resume: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback,
) -> EndToEndReport:
    """Train and leave in `out` the checkpoint that val likes best, or the last one where there is no val.

    Args:
        fresh: what of the network starts here, and takes its statistics from these pictures.
        resume: go on from the state in `out`, which the caller has begun (`RunFolder.begin`) or checked.

    Raises:
        DatasetError: too few pictures, or one cannot be decoded.
        Interrupted, TrainingFailed: see `train_stage`.
    """
    run = EndToEndRun(task, network, processor, out, options, say, on_progress)
    started = time.monotonic()
    saved = run.folder.load() if resume else None
    if fresh != "nothing" and saved is None:
        run.fit_statistics(fresh)
    stage = run.stage()
    log = RunLog(run.folder.out, (0, _step_of(saved)) if resume else None, options.tensorboard)
    if saved is not None:
        run.read_looks(_step_of(saved))
    train_stage(stage, options.loop, run.accelerator, run.folder, log, saved, on_progress)
    if not run.looks or run.looks[-1].step != stage.steps:
        run.measure(stage.steps)
    if run.accelerator.is_main_process:
        run.folder.end()
    minutes = (time.monotonic() - started) / 60
    best = max(run.looks, key=lambda look: look.score) if task.validation else None
    return EndToEndReport(out, len(task.training), stage.steps, minutes, best)


class EndToEndRun:
    """A network in training, its data, and what val has said so far."""

    def __init__(
        self,
        task: Task,
        network: Network,
        processor: PixelBertProcessor,
        out: Path,
        options: EndToEndOptions,
        say: Callable[[str], None],
        on_progress: ProgressCallback,
    ) -> None:
        self.task, self.processor, self.options = task, processor, options
        self.say, self.on_progress = say, on_progress
        if len(task.training) < 2 * task.pictures_an_item:
            raise DatasetError(
                f"{len(task.training)} captioned pictures are too few", "Give two or more in the split train"
            )
        self.folder = RunFolder(out)
        self.accelerator = make_accelerator(options.precision)
        self.device = self.accelerator.device
        self.network: Network = network.to(self.device)
        self.looks: list[Look] = []
        model = network.model
        model.recompute = options.recompute
        model.frozen_statistics = not options.train_statistics
        model.backbone.requires_grad_(options.train_cnn)
        network.train()
        if options.compile:
            for layer in model.layers:
                layer.compile()

    def fit_statistics(self, fresh: Fresh) -> None:
        """Standardise features by the statistics of a sample of the training pictures."""
        generator = torch.Generator().manual_seed(self.options.loop.seed)
        training = self.task.training
        sample = torch.randperm(len(training), generator=generator)[:_PICTURES_FOR_STATISTICS].tolist()
        model, edge = self.network.model, self.processor.config.input_size
        pixels, pooled = [], []
        with torch.no_grad(), autocast(self.device):
            for start in range(0, len(sample), 32):
                drawn = [decode(training[place], edge) for place in sample[start : start + 32]]
                grid, mask = model.encode_grids(picture_tensors(self.processor, drawn))
                pixels.append(grid[mask].float())
                pooled.append(pool_grid(grid.float(), mask))
        if fresh == "all":
            model.standardise.fit(torch.cat(pixels))
        if isinstance(self.network, PixelBertForRetrieval):
            self.network.maps.standardise.fit(torch.cat(pooled))

    def stage(self) -> Stage:
        """The one stage of the run."""
        options = self.options
        objective = self.task.objective(self.network)
        with self.accelerator.main_process_first():  # it encodes the pictures, and the others read what it wrote
            batches = self.batches(self.task.training, options.augment)
        steps = max(1, round(options.epochs * batches.steps_an_epoch / options.loop.accumulate))
        optimizers = build_optimizers(objective, self.network.model, options.optimizer)
        if len(optimizers) > 1 and self.accelerator.mixed_precision == "fp16":
            raise UsageError(
                "fp16 scales one loss for one optimiser", "Take --precision bf16, or one optimiser: --optimizer adamw"
            )
        epoch = batches.steps_an_epoch / options.loop.accumulate
        return Stage(
            number=0,
            name=self.task.name,
            objective=objective,
            batches=batches,
            optimizers=optimizers,
            schedule=self._schedule(steps, epoch),
            steps=steps,
            measure_every=max(1, round(options.measure_every_epochs * epoch)),
            measure=self.measure,
        )

    def measure(self, step: int) -> None:
        """Look at val; the checkpoint in the run's folder becomes the network as it is, if none was better."""
        if not self.accelerator.is_main_process:
            return
        self.network.eval()
        score, figures = self.task.judge(self) if self.task.validation else (float(step), {})
        if all(score >= look.score for look in self.looks):
            save_checkpoint(self.folder.out, self.network, self.processor)
        self.looks.append(Look(step, score, figures))
        write_durably(
            self.folder.out / FIGURES_FILE, json.dumps([look.as_json() for look in self.looks], indent=1).encode()
        )
        if figures:
            self.say(f"val, step {step:,}: {_in_words(figures)}")
        self.network.train()

    def read_looks(self, step: int) -> None:
        """What val said up to a step, from the run's folder."""
        file = self.folder.out / FIGURES_FILE
        if file.exists():
            looks = [Look.of_json(values) for values in json.loads(file.read_bytes())]
            self.looks = [look for look in looks if look.step <= step]

    def batches(self, pictures: list[CaptionedPicture], augment: bool = False) -> PairBatches:
        """Batches of pictures of the training set or of val, by weight, this process's share of each."""
        options, accelerator, an_item = self.options, self.accelerator, self.task.pictures_an_item
        weights = torch.tensor([picture.weight for picture in pictures[::an_item]])
        weights = weights / weights.max()
        processes = accelerator.num_processes
        batch = min(options.batch * processes, int((weights > 0).sum())) // processes * processes
        return PairBatches(
            pictures,
            Captions.of(pictures),
            self.processor,
            Draws(weights, batch, options.loop.seed, an_item),
            self.device,
            options.loop.seed,
            None if augment else self.grids(pictures),
            augment,
            self.task.others,
            options.workers,
            accelerator.process_index,
            processes,
        )

    def every(self, pictures: list[CaptionedPicture]) -> Iterator[PairBatch]:
        """Batches of all pictures once, in their order, for one process alone."""
        draws = InOrder(len(pictures), self.options.batch * self.task.pictures_an_item)
        batches = PairBatches(
            pictures,
            Captions.of(pictures),
            self.processor,
            draws,
            self.device,
            self.options.loop.seed,
            self.grids(pictures),
            workers=self.options.workers,
        )
        return islice(batches(0), draws.steps_an_epoch)

    def grids(self, pictures: list[CaptionedPicture]) -> GridStore | None:
        """What the frozen CNN sees in pictures, from the cache; None where it is trained or they take too much room."""
        if self.options.train_cnn:
            return None
        training = self.network.training
        self.network.eval()
        cache, limit = self.folder.folder / "cache", 1e9 * self.options.cache_gb
        try:
            return encode_grids(self.network, self.processor, pictures, cache, self.on_progress, limit)
        except GridsTooLarge as error:
            self.say(f"{error.message}, more than --cache-gb allows; the CNN runs each time instead")
            return None
        finally:
            self.network.train(training)

    def _schedule(self, steps: int, epoch: float) -> Schedule:
        options = self.options
        warm_up = round(options.warm_up * steps)
        if options.schedule == "cosine":
            return cosine(steps, warm_up)
        return step_down([round(drop * epoch) for drop in options.drops], warm_up)


def _step_of(saved: Mapping[str, object] | None) -> int:
    step = 0 if saved is None else saved["step"]
    assert isinstance(step, int)
    return step


def _in_words(figures: Mapping[str, object]) -> str:
    direction = figures.get("text_to_image")
    if not isinstance(direction, dict):
        return ", ".join(f"{name} {value}" for name, value in figures.items())
    reached = [f"first stage {direction['first_stage']['r@1']:.1f}"]
    reached += [f"re-ranked {recall['r@1']:.1f}" for recall in direction["reranked"].values()]
    return f"text to image R@1 {', '.join(reached)}"
