"""The loop: batches through an objective, gradients into optimisers, the state to disk.

A step's randomness is seeded from (seed, stage, step, rank), and its batch is a function of the same numbers. So a run
that goes on from a saved step does what it would have done uninterrupted, bit for bit on a CPU, and nothing of the
generators' state has to be saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pixsearch.errors import Interrupted, PixsearchError
from pixsearch.interruption import interruption
from pixsearch.progress import Progress, ProgressCallback
from pixsearch_trainer.batches.draws import mixed_seed
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.optimisation.log import RunLog
from pixsearch_trainer.optimisation.schedules import Schedule
from pixsearch_trainer.optimisation.state import RunFolder


class TrainingFailed(PixsearchError):
    """A step cannot be done: its loss is not finite, or it does not fit into memory."""


class Batch(Protocol):
    """What the loop wants to know of a batch; the rest is between it and its objective."""

    @property
    def names(self) -> list[str]:
        """The files it was made of, for messages."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class LoopOptions:
    """How any stage is run."""

    seed: int = 0
    accumulate: int = 1
    """Batches a step; their gradients are averaged. What a batch contrasts is still only itself."""
    clip: float | None = None
    """Largest norm of a step's gradient."""
    ema: float | None = None
    """Decay of an average of the weights, which is then what is measured and saved as the checkpoint."""
    save_every_steps: int = 1000
    save_every_minutes: float = 10.0
    log_every: int = 10


@dataclass
class Stage:
    """A thing to train: an objective, where its batches come from, and what changes its weights."""

    number: int
    name: str
    objective: Objective
    batches: Callable[[int], Iterator[Batch]]
    """Batches from the n-th on, without end."""
    optimizers: list[torch.optim.Optimizer]
    schedule: Schedule
    steps: int
    measure_every: int | None = None
    measure: Callable[[int], None] | None = None
    """Called with the number of steps done, every `measure_every` of them, with the averaged weights in place."""


def train_stage(
    stage: Stage,
    options: LoopOptions,
    accelerator: Accelerator,
    folder: RunFolder,
    log: RunLog,
    saved: Mapping[str, object] | None,
    on_progress: ProgressCallback,
) -> None:
    """Train a stage to its end, in place.

    Args:
        accelerator: says the device, the number format and the processes.
        saved: this stage's state as `folder` gave it, to go on from; None at its beginning.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM, after the state was saved.
        TrainingFailed: the loss is not finite (before any weight was changed by it), or memory ran out.
    """
    average = _average(stage.objective.network, options)
    wrapped, *optimizers = accelerator.prepare(stage.objective, *stage.optimizers)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in stage.optimizers]
    first = _restore(stage, average, accelerator, saved)
    batches = stage.batches(first * options.accumulate)
    last_save = started = time.monotonic()
    pictures = 0

    def state(step: int) -> dict[str, object]:
        return {
            "stage": stage.number,
            "step": step,
            "objective": stage.objective.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in stage.optimizers],
            "average": None if average is None else average.state_dict(),
            "scaler": None if accelerator.scaler is None else accelerator.scaler.state_dict(),
        }

    with interruption() as wish:
        for step in range(first, stage.steps):
            _seed(options.seed, stage.number, step, accelerator.process_index)
            for optimizer, base in zip(stage.optimizers, rates, strict=True):
                for group, rate in zip(optimizer.param_groups, base, strict=True):
                    group["lr"] = rate * stage.schedule(step)
            losses, seen = _gradients(wrapped, batches, options, accelerator, stage.name, step)
            if options.clip is not None:
                accelerator.clip_grad_norm_(wrapped.parameters(), options.clip)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            if average is not None:
                average.update_parameters(stage.objective.network)
            pictures += seen * accelerator.num_processes
            done = step + 1
            speed = pictures / (time.monotonic() - started)
            rate = stage.optimizers[0].param_groups[0]["lr"]
            note = f"loss {losses['loss']:.3f}, rate {rate:.1e}, {speed:.1f} pictures/s"
            on_progress(Progress(stage.name, done, stage.steps, note))
            if accelerator.is_main_process and (done % options.log_every == 0 or done == stage.steps):
                figures = {"name": stage.name, **losses, "learning_rate": rate, "pictures_per_second": round(speed, 2)}
                log.write(stage.number, done, figures)
            if stage.measure is not None and stage.measure_every and done % stage.measure_every == 0:
                with _averaged_weights(stage.objective.network, average):
                    stage.measure(done)
            stop = _any(wish.asked, accelerator)
            due = time.monotonic() - last_save >= 60 * options.save_every_minutes
            if stop or due or done % options.save_every_steps == 0 or done == stage.steps:
                if accelerator.is_main_process:
                    folder.save(state(done))
                last_save = time.monotonic()
            if stop:
                raise Interrupted(
                    f"stopped after step {done:,} of {stage.steps:,} ({stage.name}) and saved", "Go on with --resume"
                )
    if average is not None:
        _copy_weights(average.module, stage.objective.network)
    accelerator.free_memory()


def _gradients(
    objective: nn.Module,
    batches: Iterator[Batch],
    options: LoopOptions,
    accelerator: Accelerator,
    stage: str,
    step: int,
) -> tuple[dict[str, float], int]:
    """Losses of a step's batches, their mean over batches and processes, and how many pictures this process saw."""
    total: dict[str, Tensor] = {}
    seen = 0
    for number in range(options.accumulate):
        batch = next(batches)
        try:
            with accelerator.no_sync(objective) if number + 1 < options.accumulate else nullcontext():
                losses: dict[str, Tensor] = objective(batch)
                _check_finite(losses["loss"], batch, accelerator, stage, step)
                accelerator.backward(losses["loss"] / options.accumulate)
        except torch.OutOfMemoryError as error:
            raise TrainingFailed(
                f"{stage}: a batch of {len(batch)} does not fit into the GPU's memory ({str(error).split('.')[0]})",
                "Lower --batch and raise --accumulate by as much, or use --checkpoint-activations",
            ) from error
        seen += len(batch)
        for name, loss in losses.items():
            total[name] = total.get(name, 0) + loss.detach().float() / options.accumulate
    reduced = accelerator.reduce(total, reduction="mean")
    return {name: round(value.item(), 6) for name, value in reduced.items()}, seen


def _check_finite(loss: Tensor, batch: Batch, accelerator: Accelerator, stage: str, step: int) -> None:
    broken = not torch.isfinite(loss).item()
    if _any(broken, accelerator):
        which = f"the batch {', '.join(batch.names)}" if broken else "another process's batch"
        raise TrainingFailed(
            f"{stage}, step {step + 1}: the loss is {loss.item()} on {which}",
            "Nothing was changed by it; look at these pictures and captions, or lower --learning-rate",
        )


def _any(flag: bool, accelerator: Accelerator) -> bool:
    """Whether it is so in any process."""
    if accelerator.num_processes == 1:
        return flag
    flags: Tensor = accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), reduction="sum")
    return flags.item() > 0


def _seed(*numbers: int) -> None:
    torch.manual_seed(mixed_seed(*numbers))


def _average(network: nn.Module, options: LoopOptions) -> AveragedModel | None:
    if options.ema is None:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.ema), use_buffers=False)


def _restore(
    stage: Stage, average: AveragedModel | None, accelerator: Accelerator, saved: Mapping[str, object] | None
) -> int:
    """Put a saved state in place; returns how many steps are done."""
    if saved is None:
        return 0
    stage.objective.load_state_dict(saved["objective"])  # type: ignore[arg-type]
    for optimizer, state in zip(stage.optimizers, saved["optimizers"], strict=True):  # type: ignore[call-overload]
        optimizer.load_state_dict(state)
    if average is not None:
        average.load_state_dict(saved["average"])  # type: ignore[arg-type]
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(saved["scaler"])
    step = saved["step"]
    assert isinstance(step, int)
    return step


@contextmanager
def _averaged_weights(network: nn.Module, average: AveragedModel | None) -> Iterator[None]:
    """The averaged weights in the network's place, for as long as the context lasts."""
    if average is None:
        yield
        return
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _copy_weights(average.module, network)
    try:
        yield
    finally:
        network.load_state_dict(kept)


def _copy_weights(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
