"""Training from many pairs, end to end: pre-training, ITC with ITM, or the paper's ranking, each a single stage."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from pixsearch.durable import write_durably
from pixsearch.errors import DatasetError, UsageError
from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.pixel_bert import PixelBertForRetrieval, pool_grid
from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.runtime import autocast
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.batches.draws import Draws
from pixsearch_trainer.batches.pairs import PairBatches
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split
from pixsearch_trainer.evaluation import evaluate
from pixsearch_trainer.features import GridStore, decode, encode_grids
from pixsearch_trainer.objectives.contrastive import ContrastiveObjective, ContrastiveOptions
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.pretraining import PreTrainingObjective, PreTrainingOptions
from pixsearch_trainer.objectives.ranking import RankingObjective, RankingOptions
from pixsearch_trainer.optimisation.accelerator import Precision, make_accelerator
from pixsearch_trainer.optimisation.log import RunLog
from pixsearch_trainer.optimisation.loop import LoopOptions, Stage, train_stage
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions, build_optimizers
from pixsearch_trainer.optimisation.schedules import Schedule, cosine, step_down
from pixsearch_trainer.optimisation.state import RunFolder

FIGURES_FILE = "figures.json"
_PICTURES_FOR_STATISTICS = 1000
_VAL_BATCHES = 20  # where val is judged by its loss


@dataclass(frozen=True)
class EndToEndOptions:
    """What a user chooses of such a run."""

    objective: PreTrainingOptions | ContrastiveOptions | RankingOptions
    epochs: float = 10
    batch: int = 64
    """Pairs a step and process."""
    train_cnn: bool = False
    """Else it is frozen, runs once a picture, and its grids are kept on disk for the run."""
    train_statistics: bool = False
    """Let the CNN's batch norms take the statistics of these pictures."""
    augment: bool = False
    workers: int = 2
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
    measure_sample: int = 300
    """Queries of val a look whose candidates are re-ranked."""
    candidates: int = 32
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
    captions: int
    steps: int
    minutes: float
    """Of this process; a run that was gone on with took longer."""
    best: Look | None
    """What val said of the checkpoint that was kept; None without val."""


def train_end_to_end(
    network: PixelBertForRetrieval | PixelBertForPreTraining,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    out: Path,
    options: EndToEndOptions,
    fresh: bool,
    resume: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback = silent,
) -> EndToEndReport:
    """Train and leave in `out` the checkpoint that val likes best, or the last one where there is no val.

    Args:
        pictures: of the splits train and val; val is measured on and never trained on.
        fresh: the network was assembled from parts: its statistics are taken from these pictures.
        resume: go on from the state in `out`, which the caller has begun (`RunFolder.begin`) or checked.

    Raises:
        DatasetError: too few pictures, or one cannot be decoded.
        TrainingInterrupted, TrainingFailed: see `train_stage`.
    """
    run = _Run(network, processor, pictures, out, options, say, on_progress)
    started = time.monotonic()
    saved = run.folder.load() if resume else None
    if fresh and saved is None:
        run.fit_statistics()
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
    best = max(run.looks, key=lambda look: look.score) if run.validation else None
    return EndToEndReport(out, len(run.training), len(run.captions.sentences), stage.steps, minutes, best)


class _Run:
    """A network in training, its data, and what val has said so far."""

    def __init__(
        self,
        network: PixelBertForRetrieval | PixelBertForPreTraining,
        processor: PixelBertProcessor,
        pictures: Sequence[CaptionedPicture],
        out: Path,
        options: EndToEndOptions,
        say: Callable[[str], None],
        on_progress: ProgressCallback,
    ) -> None:
        self.processor, self.options = processor, options
        self.say, self.on_progress = say, on_progress
        self.training, self.validation = of_split(pictures, "train"), of_split(pictures, "val")
        if len(self.training) < 2:
            raise DatasetError(
                f"{len(self.training)} captioned pictures are too few", "Give two or more in the split train"
            )
        self.folder = RunFolder(out)
        self.accelerator = make_accelerator(options.precision)
        self.device = self.accelerator.device
        self.network = network.to(self.device).train()
        self.captions = Captions.of(self.training)
        self.looks: list[Look] = []
        model = network.model
        model.recompute = options.recompute
        model.frozen_statistics = not options.train_statistics
        model.backbone.requires_grad_(options.train_cnn)
        network.train()
        if options.compile:
            for layer in model.layers:
                layer.compile()

    def fit_statistics(self) -> None:
        """Standardise features by the statistics of a sample of the training pictures."""
        generator = torch.Generator().manual_seed(self.options.loop.seed)
        sample = torch.randperm(len(self.training), generator=generator)[:_PICTURES_FOR_STATISTICS].tolist()
        model, edge = self.network.model, self.processor.config.input_size
        pixels, pooled = [], []
        with torch.no_grad(), autocast(self.device):
            for start in range(0, len(sample), 32):
                drawn = [decode(self.training[place], edge) for place in sample[start : start + 32]]
                grid, mask = model.encode_grids(self.processor.pixels(drawn))
                pixels.append(grid[mask].float())
                pooled.append(pool_grid(grid.float(), mask))
        model.standardise.fit(torch.cat(pixels))
        if isinstance(self.network, PixelBertForRetrieval):
            self.network.maps.standardise.fit(torch.cat(pooled))

    def stage(self) -> Stage:
        """The one stage of the run."""
        options = self.options
        objective = self._objective()
        batches = self._batches(self.training, self.captions, self._grids(self.training), augment=options.augment)
        steps = max(1, round(options.epochs * batches.steps_an_epoch / options.loop.accumulate))
        optimizers = build_optimizers(objective, self.network.model, options.optimizer)
        if len(optimizers) > 1 and self.accelerator.mixed_precision == "fp16":
            raise UsageError(
                "fp16 scales one loss for one optimiser", "Take --precision bf16, or one optimiser: --optimizer adamw"
            )
        epoch = batches.steps_an_epoch / options.loop.accumulate
        return Stage(
            number=0,
            name={PreTrainingOptions: "pre-training", RankingOptions: "ranking"}.get(
                type(options.objective), "retrieval"
            ),
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
        score, figures = self._judge() if self.validation else (float(step), {})
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

    def _judge(self) -> tuple[float, dict[str, object]]:
        """A score on val, the higher the better, and the figures behind it."""
        if not isinstance(self.network, PixelBertForRetrieval) or isinstance(self.options.objective, RankingOptions):
            return self._judge_by_loss()
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder) if self.options.train_cnn else self._cache
            grids = encode_grids(self.network, self.processor, self.validation, cache, self.on_progress)
            matching = isinstance(self.options.objective, ContrastiveOptions) and self.options.objective.matching_weight
            evaluation = evaluate(
                self.network,
                self.processor,
                self.validation,
                grids,
                (self.options.candidates,) if matching else (),
                self.options.measure_sample,
                on_progress=self.on_progress,
            )
        direction = evaluation.text_to_image
        reached = [direction.first_stage.r1, *(recall.r1 for recall in direction.reranked.values())]
        config = dataclasses.replace(self.network.config, rerank=len(reached) > 1 and reached[-1] >= reached[0])
        self.network.config = self.processor.config = config
        return max(reached), evaluation.as_json()

    def _judge_by_loss(self) -> tuple[float, dict[str, object]]:
        captions = Captions.of(self.validation)
        batches = self._batches(self.validation, captions, self._grids(self.validation), augment=False)
        objective = self._objective().eval()
        total: dict[str, float] = {}
        count = min(_VAL_BATCHES, batches.steps_an_epoch)
        with torch.random.fork_rng(), torch.no_grad(), autocast(self.device):
            torch.manual_seed(0)  # the same words are masked at every look
            for _, batch in zip(range(count), batches(0), strict=False):
                for name, loss in objective(batch).items():
                    total[name] = total.get(name, 0.0) + loss.item() / count
        return -total["loss"], {name: round(loss, 4) for name, loss in total.items()}

    def _objective(self) -> Objective:
        options = self.options.objective
        if isinstance(options, PreTrainingOptions):
            assert isinstance(self.network, PixelBertForPreTraining)
            return PreTrainingObjective(self.network, options)
        assert isinstance(self.network, PixelBertForRetrieval)
        if isinstance(options, RankingOptions):
            return RankingObjective(self.network, options)
        return ContrastiveObjective(self.network, options)

    def _batches(
        self, pictures: list[CaptionedPicture], captions: Captions, grids: GridStore | None, augment: bool
    ) -> PairBatches:
        options, accelerator = self.options, self.accelerator
        weights = torch.tensor([picture.weight for picture in pictures])
        weights = weights / weights.max()
        processes = accelerator.num_processes
        batch = min(options.batch * processes, int((weights > 0).sum())) // processes * processes
        return PairBatches(
            pictures,
            captions,
            self.processor,
            Draws(weights, batch, options.loop.seed),
            self.device,
            options.loop.seed,
            None if augment else grids,
            augment,
            options.objective.negatives if isinstance(options.objective, RankingOptions) else 0,
            options.workers,
            accelerator.process_index,
            processes,
        )

    @property
    def _cache(self) -> Path:
        return self.folder.folder / "cache"

    def _grids(self, pictures: list[CaptionedPicture]) -> GridStore | None:
        if self.options.train_cnn:
            return None
        training = self.network.training
        self.network.eval()
        with self.accelerator.main_process_first():
            grids = encode_grids(self.network, self.processor, pictures, self._cache, self.on_progress)
        self.network.train(training)
        return grids

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
