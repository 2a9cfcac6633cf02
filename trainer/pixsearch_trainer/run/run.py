"""Train stages one after another, measure them on val, and save the state so that a run can be resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator

from pixsearch.durable import write_durably
from pixsearch.errors import Interrupted
from pixsearch.interruption import interruption
from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.networks import Network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import Progress, ProgressCallback
from pixsearch.regular_files import TEXT_LIMIT_BYTES, read_regular
from pixsearch_trainer.batches.draws import mixed_seed
from pixsearch_trainer.run.accelerator import in_any_process, on_main_process
from pixsearch_trainer.run.loop import Loop
from pixsearch_trainer.run.stage import Stage
from pixsearch_trainer.run.state import RunFolder, RunLog

FIGURES_FILE = "figures.json"
_LOG_EVERY = 10  # steps
_SAVE_EVERY_S = 600


@dataclass(frozen=True)
class PlannedStage:
    """A stage to be trained. It is built only after the previous stage has ended, because it depends on the result."""

    name: str
    share: float
    """The stage's share of the time limit, relative to other stages."""
    build: Callable[[], Stage]
    """A function that builds the stage."""


@dataclass
class Run:
    """A training run: the network, and its measurements on val so far."""

    network: Network
    processor: PixelBertProcessor
    folder: RunFolder
    """The folder of the run, which must exist."""
    accelerator: Accelerator
    on_message: Callable[[str], None]
    """A function that is called with messages, such as each measurement on val."""
    on_progress: ProgressCallback
    seed: int = 0
    minutes: float | None = None
    """The time limit, from which the numbers of steps are computed; None for the steps in the options."""
    started: float = field(default_factory=lambda: time.monotonic())
    _looks: list[dict[str, Any]] = field(default_factory=list, init=False)
    _steps: dict[str, int] = field(default_factory=dict, init=False)
    """The numbers of steps computed from the time limit, by stage name."""

    def __post_init__(self) -> None:
        self.device, self._is_main = self.accelerator.device, bool(self.accelerator.is_main_process)
        self.network = self.network.to(self.device)

    def train(self, plan: Sequence[PlannedStage], resume: bool) -> None:
        """Train the stages, and save the best checkpoint on val, or the last one if val is empty.

        Each stage starts from the best network of the previous stage, which may be the network that stage started from.

        Raises:
            Interrupted: the run was stopped by Ctrl-C or SIGTERM; the step is saved.
            TrainingFailed: see `Loop.steps`.
        """
        saved = self.folder.load() if resume else None
        first, step = (0, 0) if saved is None else (saved["stage"], saved["step"])
        log = RunLog(self.folder.out, None if saved is None else (first, step)) if self._is_main else None
        if saved is not None:
            self._restore(self.folder.kept("stage", first))
            self._steps = saved["steps"]
            self.started -= saved["seconds"]
            self._looks = [look for look in self._read_looks() if (look["stage"], look["step"]) <= (first, step)]
        for number in range(first, len(plan)):
            in_progress = saved if number == first else None
            if in_progress is None and self._is_main:
                self.folder.keep("stage", number, self._snapshot())
            self._train_stage(number, plan, in_progress, log)
        if self._is_main:
            save_checkpoint(self.folder.out, self.network, self.processor)
        self.accelerator.wait_for_everyone()

    def _train_stage(
        self, number: int, plan: Sequence[PlannedStage], saved: Mapping[str, Any] | None, log: RunLog | None
    ) -> None:
        name, began = plan[number].name, time.monotonic()
        torch.manual_seed(mixed_seed(self.seed, number))  # gives new heads the same initial weights after a resume
        stage = plan[number].build()
        loop = Loop(stage, name, number, self.accelerator, self.seed)

        def save(done: int) -> None:
            state = loop.state() | {"stage": number, "step": done, "steps": self._steps}
            if self._is_main:
                self.folder.save(state | {"seconds": time.monotonic() - self.started})

        if saved is not None:
            loop.restore(saved)
            stage.steps = self._steps.get(name, stage.steps)
        else:
            look_s = self._look(loop, 0)
            if self.minutes is not None:
                left_s = 60 * self.minutes - (began - self.started)
                share = plan[number].share / sum(one.share for one in plan[number:])
                self._pace(loop, began + share * left_s, look_s)
            save(0)
        started = last_save = time.monotonic()
        look_every, pictures = math.ceil(stage.steps / max(1, stage.options.looks)), 0
        with interruption() as interrupt:
            for done, seen in loop.steps(0 if saved is None else saved["step"]):
                pictures += seen
                speed = pictures / (time.monotonic() - started)
                note = f"loss {loop.losses.get('loss', 0.0):.3f}, {speed:.1f} pictures/s"
                self.on_progress(Progress(name, done, stage.steps, note))
                due = done == stage.steps
                if log is not None and loop.losses and (done % _LOG_EVERY == 0 or due):
                    log.write(number, done, {"name": name, **loop.losses, "pictures_per_second": round(speed, 2)})
                if stage.judge is not None and (due or done % look_every == 0):
                    self._look(loop, done)
                    due = True
                stop = False
                if loop.checks(done):
                    stop = in_any_process(interrupt.requested, self.accelerator)
                    late = in_any_process(time.monotonic() - last_save > _SAVE_EVERY_S, self.accelerator)
                    due = due or stop or late
                if due:
                    save(done)
                    last_save = time.monotonic()
                if stop:
                    raise Interrupted(
                        f"stopped after step {done:,} of {stage.steps:,} ({name})", "Continue with --resume"
                    )
        self.accelerator.free_memory()
        if stage.judge is None:
            loop.mix()
        else:
            self.accelerator.wait_for_everyone()
            self._restore(self.folder.kept("best", number))
        self.network.requires_grad_(True).eval()
        if self._is_main:
            save_checkpoint(self.folder.out, self.network, self.processor)

    def _look(self, loop: Loop, step: int) -> float:
        """Measure the network on val, and keep it if it is the stage's best so far. Return the elapsed seconds."""
        started = time.monotonic()
        if loop.stage.judge is not None:
            with loop.as_finished():
                score, figures = on_main_process(self.accelerator, loop.stage.judge)
                score = round(score, 4)
                before = (look["score"] for look in self._looks if look["stage"] == loop.number and "score" in look)
                if score >= max(before, default=-math.inf) and self._is_main:
                    self.folder.keep("best", loop.number, self._snapshot())
                    if step:
                        save_checkpoint(self.folder.out, self.network, self.processor)
            self._record(loop, step, score=score, **figures)
            self.on_message(f"val, {loop.name}, step {step:,}: {_figures_text(figures)}")
        return time.monotonic() - started

    def _pace(self, loop: Loop, end: float, look_s: float) -> None:
        """Choose the number of steps so that the stage ends at the given time.monotonic() value."""
        stage = loop.stage
        step_s = loop.rehearse(end - time.monotonic())
        left_s = end - time.monotonic() - look_s * stage.options.looks
        stage.steps = on_main_process(self.accelerator, lambda: max(1, round(left_s / step_s)))  # clocks differ
        self._steps[loop.name] = stage.steps
        self._record(loop, 0, seconds_a_step=step_s)
        repeat = " ".join(f"--set {name}.steps={steps}" for name, steps in self._steps.items())
        self.on_message(
            f"{loop.name}: {stage.steps:,} steps of {step_s:.2g} s fit in the time limit. To repeat: {repeat}"
        )

    def _snapshot(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "rerank": self.network.config.rerank}

    def _restore(self, snapshot: Mapping[str, Any]) -> None:
        self.network.load_state_dict(snapshot["network"])
        config = dataclasses.replace(self.network.config, rerank=snapshot["rerank"])
        self.network.config = self.processor.config = config

    def _record(self, loop: Loop, step: int, **figures: object) -> None:
        self._looks.append(
            {"stage": loop.number, "name": loop.name, "step": step, "steps": loop.stage.steps, **figures}
        )
        if self._is_main:
            write_durably(self.folder.out / FIGURES_FILE, json.dumps(self._looks, indent=1).encode())

    def _read_looks(self) -> list[dict[str, Any]]:
        file = self.folder.out / FIGURES_FILE
        looks: list[dict[str, Any]] = json.loads(read_regular(file, TEXT_LIMIT_BYTES)) if file.exists() else []
        return looks


def _figures_text(figures: Mapping[str, Any]) -> str:
    """Format figures as one line, with R@1 alone in place of a set of recalls."""
    named = {name: value["r@1"] if isinstance(value, dict) else value for name, value in figures.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in named.items())
