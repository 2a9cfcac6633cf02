"""Train a stage: compute the losses of each batch, and update the weights.

The random numbers and the batch of a step depend only on (seed, stage, step, rank). Therefore, a resumed run continues
exactly as if it had not been interrupted (bit for bit on a CPU), without any saved generator state.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from pixsearch.errors import PixsearchError
from pixsearch_trainer.batches.draws import mixed_seed
from pixsearch_trainer.run.accelerator import in_any_process, on_main_process
from pixsearch_trainer.run.stage import Batch, Stage

_CHECK_EVERY = 10  # steps between checks of the losses on a GPU, because each check waits for the device
_REHEARSAL_SHARE = 0.05  # the share of a stage's time that may be spent on measuring its speed
_FEWEST_REHEARSED = 4


class TrainingFailed(PixsearchError):
    """A training step failed: its loss is not finite, or its batch does not fit in memory."""


class Loop:
    """The training loop of a stage. `losses` are the means over processes at the last check."""

    def __init__(self, stage: Stage, name: str, number: int, accelerator: Accelerator, seed: int) -> None:
        self.stage, self.name, self.number, self.losses = stage, name, number, dict[str, float]()
        self._accelerator, self._seed = accelerator, (seed, number)
        self._objective, *self._optimizers = accelerator.prepare(stage.objective, *stage.optimizers)
        for group in self._groups():
            group["initial_lr"] = group["lr"]
        trained: list[nn.Parameter] = [p for group in self._groups() for p in group["params"] if stage.options.kept]
        self._before = [(parameter, parameter.detach().clone()) for parameter in trained]
        self._unchecked: deque[tuple[int, dict[str, Tensor], list[str]]] = deque()

    def steps(self, first: int) -> Iterator[tuple[int, int]]:
        """Run the steps, starting at `first`. After each, yield the steps done and the pictures in this step.

        Raises:
            TrainingFailed: a loss is not finite, or memory ran out.
        """
        batches, steps = self.stage.batches(first), self.stage.steps
        for step in range(first, steps):
            seen = self._step(step, next(batches), self.stage.options.rate(step, steps))
            if self.checks(step + 1):
                self._check()
            yield step + 1, seen

    def checks(self, done: int) -> bool:
        """Return whether losses and interrupts are checked after this number of steps."""
        immediate = self._accelerator.device.type == "cpu" and self._accelerator.num_processes == 1
        return immediate or done % _CHECK_EVERY == 0 or done == self.stage.steps

    def rehearse(self, budget_s: float) -> float:
        """Measure the seconds per step, using steps with a learning rate of 0, which leave the weights unchanged."""
        batches, started, ends = self.stage.batches(0), time.monotonic(), list[float]()
        for step in range(self.stage.steps):
            self._step(step, next(batches), rate=0.0)
            if self._accelerator.device.type == "cuda":
                torch.cuda.synchronize()
            ends.append(time.monotonic())
            enough = len(ends) >= _FEWEST_REHEARSED and ends[-1] - started > _REHEARSAL_SHARE * budget_s
            if on_main_process(self._accelerator, lambda enough=enough: enough):  # type: ignore[misc]
                break
        for optimizer in self.stage.optimizers:
            optimizer.state.clear()
        self._check()
        settled = ends[len(ends) // 2 :]  # the first steps load, compile and use prefetched batches
        if len(settled) < 2:
            settled = [started, *ends]
        measured = (settled[-1] - settled[0]) / (len(settled) - 1)
        return on_main_process(self._accelerator, lambda: measured)

    def state(self) -> dict[str, object]:
        """Check the losses so far, and return a state that `restore` accepts."""
        self._check()
        optimizers = [optimizer.state_dict() for optimizer in self.stage.optimizers]
        return {"objective": self.stage.objective.state_dict(), "optimizers": optimizers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state` returned."""
        self.stage.objective.load_state_dict(state["objective"])
        for optimizer, saved in zip(self.stage.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)

    @torch.no_grad()
    def mix(self) -> None:
        """Move the trained weights back towards their values before the stage, by the share `kept`."""
        for parameter, before in self._before:
            parameter.lerp_(before, self.stage.options.kept)

    @contextmanager
    def as_finished(self) -> Iterator[None]:
        """Temporarily set the network to the stage's current result: mixed weights, without dropout."""
        training = [module for module in self.stage.objective.modules() if module.training]
        now = [parameter.detach().clone() for parameter, _ in self._before]
        self.stage.objective.eval()
        self.mix()
        with torch.no_grad():
            yield
            for (parameter, _), value in zip(self._before, now, strict=True):
                parameter.copy_(value)
        for module in training:
            module.training = True

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.stage.optimizers for group in optimizer.param_groups]

    def _step(self, step: int, batch: Batch, rate: float) -> int:
        torch.manual_seed(mixed_seed(*self._seed, step, self._accelerator.process_index))
        for group in self._groups():
            group["lr"] = group["initial_lr"] * rate
        try:
            losses: dict[str, Tensor] = self._objective(batch)
            self._accelerator.backward(losses["loss"])
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                f"{self.name}: a batch of {len(batch)} does not fit in GPU memory ({str(error).split('.')[0]})",
                f"Start again with a lower --set {self.name}.batch",
            ) from error
        self._unchecked.append((step, {name: loss.detach() for name, loss in losses.items()}, batch.names))
        if self._accelerator.device.type == "cpu":
            self._check_finite()  # free on a CPU, and prevents updates with an invalid loss
        if self.stage.options.clip is not None:
            self._accelerator.clip_grad_norm_(self._objective.parameters(), self.stage.options.clip)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        processes: int = self._accelerator.num_processes
        return len(batch) * processes

    def _check(self) -> None:
        """Check the losses since the last check. Raises TrainingFailed if one is not finite."""
        self._check_finite()
        if self._unchecked:
            last = {name: loss.float() for name, loss in self._unchecked[-1][1].items()}
            reduced = self._accelerator.reduce(last, reduction="mean")
            self.losses = {name: round(value.item(), 6) for name, value in reduced.items()}
        self._unchecked.clear()

    def _check_finite(self) -> None:
        steps = self._unchecked
        broken = next((one for one in steps if not torch.isfinite(one[1]["loss"])), None) if steps else None
        if not in_any_process(broken is not None, self._accelerator):
            return
        step, which = (
            (broken[0], f"for the batch {', '.join(broken[2])}") if broken else (steps[-1][0], "in another process")
        )
        value = f"{broken[1]['loss'].item()}" if broken else "not finite"
        raise TrainingFailed(
            f"{self.name}, step {step + 1}: the loss is {value} {which}",
            f"Check these pictures and captions, or start again with a lower --set {self.name}.learning_rate. "
            "The last saved step is intact",
        )
