"""A run: stages one after the other, measured on val as they go, saved so that it can be resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from pixsearch.durable import write_durably
from pixsearch.errors import Interrupted
from pixsearch.interruption import interruption
from pixsearch.model.checkpoints import save_checkpoint
from pixsearch.model.networks import Network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import Progress, ProgressCallback
from pixsearch_trainer.batches.draws import mixed_seed
from pixsearch_trainer.run.accelerator import in_any_process, on_main_process
from pixsearch_trainer.run.log import RunLog
from pixsearch_trainer.run.loop import Loop
from pixsearch_trainer.run.stage import Stage
from pixsearch_trainer.run.state import RunFolder

FIGURES_FILE = "figures.json"
_LOG_EVERY = 10  # steps
_SAVE_EVERY_S = 600


@dataclass(frozen=True)
class PlannedStage:
    """A stage before its turn: it is built when the one before it has ended, since it depends on its result."""

    name: str
    share: float
    """Of the time that a limit leaves, relative to the other stages."""
    build: Callable[[], Stage]


class Run:
    """The network in training, and what val has said of it so far."""

    def __init__(
        self,
        network: Network,
        processor: PixelBertProcessor,
        folder: RunFolder,
        accelerator: Accelerator,
        say: Callable[[str], None],
        on_progress: ProgressCallback,
        seed: int = 0,
        minutes: float | None = None,
    ) -> None:
        """Args:
        folder: begun by the caller.
        say: called with a line for people whenever val was measured.
        minutes: that the run may take from here to its end; the numbers of steps are chosen accordingly.
        """
        self.accelerator, self.device = accelerator, accelerator.device
        self.network, self.processor = network.to(self.device), processor
        self.folder, self.seed = folder, seed
        self.say, self.on_progress = say, on_progress
        self._minutes, self._started = minutes, time.monotonic()
        self._looks: list[dict[str, Any]] = []
        self._steps: dict[str, int] = {}
        """The numbers of steps that the time limit led to, by stage."""

    def train(self, plan: Sequence[PlannedStage], resume: bool) -> None:
        """Train the stages and leave in the folder's `out` the checkpoint that val likes best, or the last without val.

        Each stage hands on to the next what val likes best of it, its own start included.

        Raises:
            Interrupted: by Ctrl-C or SIGTERM, after the step was saved.
            TrainingFailed: see `Loop.steps`.
        """
        saved = self.folder.load() if resume else None
        first, step = (0, 0) if saved is None else (saved["stage"], saved["step"])
        log = RunLog(self.folder.out, None if saved is None else (first, step)) if self._is_main else None
        if saved is not None:
            self._put_in_place(self.folder.load_beginning(first))
            self._steps = saved["steps"]
            self._started -= saved["seconds"]
            self._looks = [look for look in self._read_looks() if (look["stage"], look["step"]) <= (first, step)]
        for number in range(first, len(plan)):
            in_progress = saved if number == first else None
            if in_progress is None and self._is_main:
                self.folder.save_beginning(number, self._snapshot())
            self._train_stage(number, plan, in_progress, log)
        if self._is_main:
            save_checkpoint(self.folder.out, self.network, self.processor)
        self.accelerator.wait_for_everyone()

    @property
    def _is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _train_stage(
        self,
        number: int,
        plan: Sequence[PlannedStage],
        saved: Mapping[str, Any] | None,
        log: RunLog | None,
    ) -> None:
        name, began = plan[number].name, time.monotonic()
        torch.manual_seed(mixed_seed(self.seed, number))  # heads of a stage's own begin alike, resumed or not
        stage = plan[number].build()
        before = {id(p): p.detach().clone() for p in _trained(stage)} if stage.kept else {}
        loop = Loop(stage, name, number, self.accelerator, self.seed)

        def save(done: int) -> None:
            state = loop.state() | {"stage": number, "step": done, "steps": self._steps}
            if self._is_main:
                self.folder.save(state | {"seconds": time.monotonic() - self._started})

        if saved is not None:
            loop.restore(saved)
            stage.steps = self._steps.get(name, stage.steps)
        else:
            look_s = self._look(number, name, 0, stage, before)
            if self._minutes is not None:
                left_s = self._budget_s(plan[number:], began) - (time.monotonic() - began)
                self._pace(number, stage, name, loop, left_s, look_s)
            save(0)
        first = 0 if saved is None else saved["step"]
        started = last_save = time.monotonic()
        look_every, pictures = math.ceil(stage.steps / max(1, stage.looks)), 0
        with interruption() as wish:
            for done, seen in loop.steps(first):
                pictures += seen
                speed = pictures / (time.monotonic() - started)
                note = f"loss {loop.losses.get('loss', 0.0):.3f}, {speed:.1f} pictures/s"
                self.on_progress(Progress(name, done, stage.steps, note))
                if log is not None and loop.losses and (done % _LOG_EVERY == 0 or done == stage.steps):
                    log.write(number, done, {"name": name, **loop.losses, "pictures_per_second": round(speed, 2)})
                due = done == stage.steps
                if stage.judge is not None and (due or done % look_every == 0):
                    self._look(number, name, done, stage, before)
                    due = True
                stop = False
                if loop.checks(done):
                    stop = in_any_process(wish.asked, self.accelerator)
                    due = due or stop or in_any_process(time.monotonic() - last_save > _SAVE_EVERY_S, self.accelerator)
                if due:
                    save(done)
                    last_save = time.monotonic()
                if stop:
                    raise Interrupted(
                        f"stopped after step {done:,} of {stage.steps:,} ({name})", "Continue with --resume"
                    )
        self.accelerator.free_memory()
        if stage.judge is None:
            _mix(_trained(stage), before, stage.kept)
        else:
            self.accelerator.wait_for_everyone()
            self._put_in_place(self.folder.load_best(number))
        self.network.requires_grad_(True).eval()
        if self._is_main:
            save_checkpoint(self.folder.out, self.network, self.processor)

    def _look(self, number: int, name: str, step: int, stage: Stage, before: Mapping[int, Tensor]) -> float:
        """Measure on val, and keep the network if it is the stage's best so far. Returns the seconds it took."""
        started = time.monotonic()
        if stage.judge is not None:
            with _mixed(_trained(stage), before, stage.kept), _in_eval_mode(stage.objective), torch.no_grad():
                score, figures = on_main_process(self.accelerator, stage.judge)
                score = round(score, 4)
                scores = [look["score"] for look in self._looks if look["stage"] == number and "score" in look]
                best = max(scores, default=-float("inf"))
                if score >= best and self._is_main:
                    self.folder.save_best(number, self._snapshot())
                    if step:
                        save_checkpoint(self.folder.out, self.network, self.processor)
            look = {"stage": number, "name": name, "step": step, "steps": stage.steps, "score": score}
            self._looks.append(look | figures)
            self.say(f"val, {name}, step {step:,}: {_in_words(figures)}")
            self._write_looks()
        return time.monotonic() - started

    def _budget_s(self, remaining: Sequence[PlannedStage], began: float) -> float:
        """The seconds that the first of the remaining stages may take, counted from when it began."""
        assert self._minutes is not None
        left = 60 * self._minutes - (began - self._started)
        return left * remaining[0].share / sum(one.share for one in remaining)

    def _pace(self, number: int, stage: Stage, name: str, loop: Loop, left_s: float, look_s: float) -> None:
        """Choose the number of steps so that the stage ends within the seconds left for it."""
        started = time.monotonic()
        step_s = loop.rehearse(left_s)
        left_s -= time.monotonic() - started + look_s * stage.looks
        steps = on_main_process(self.accelerator, lambda: max(1, round(left_s / step_s)))  # clocks differ
        stage.steps = self._steps[name] = steps
        self._looks.append({"stage": number, "name": name, "step": 0, "steps": stage.steps, "seconds_a_step": step_s})
        self._write_looks()
        self.say(f"{name}: {stage.steps:,} steps of {step_s:.2g} s fit into the time; repeat with {self._repeat()}")

    def _repeat(self) -> str:
        return " ".join(f"--set {name}.steps={steps}" for name, steps in self._steps.items())

    def _snapshot(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "rerank": self.network.config.rerank}

    def _put_in_place(self, snapshot: Mapping[str, Any]) -> None:
        self.network.load_state_dict(snapshot["network"])
        self.network.config = self.processor.config = dataclasses.replace(
            self.network.config, rerank=snapshot["rerank"]
        )

    def _write_looks(self) -> None:
        if self._is_main:
            write_durably(self.folder.out / FIGURES_FILE, json.dumps(self._looks, indent=1).encode())

    def _read_looks(self) -> list[dict[str, Any]]:
        file = self.folder.out / FIGURES_FILE
        looks: list[dict[str, Any]] = json.loads(file.read_bytes()) if file.exists() else []
        return looks


def _trained(stage: Stage) -> list[torch.nn.Parameter]:
    return [p for optimizer in stage.optimizers for group in optimizer.param_groups for p in group["params"]]


@torch.no_grad()
def _mix(parameters: Sequence[torch.nn.Parameter], before: Mapping[int, Tensor], kept: float) -> None:
    """Move parameters a share `kept` of the way back to what they were."""
    for parameter in parameters:
        if id(parameter) in before:
            parameter.lerp_(before[id(parameter)], kept)


@contextmanager
def _mixed(parameters: Sequence[torch.nn.Parameter], before: Mapping[int, Tensor], kept: float) -> Iterator[None]:
    """The same for as long as the context lasts."""
    now = [parameter.detach().clone() for parameter in parameters if id(parameter) in before]
    _mix(parameters, before, kept)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip((p for p in parameters if id(p) in before), now, strict=True):
                parameter.copy_(value)


@contextmanager
def _in_eval_mode(module: torch.nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def _in_words(figures: Mapping[str, Any]) -> str:
    """Recalls as R@1, other figures as they are."""
    named = {name: value["r@1"] if isinstance(value, dict) else value for name, value in figures.items()}
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in named.items())
