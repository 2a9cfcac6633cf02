"""On what a run computes: device, number format and processes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401
from pixsearch.errors import PixsearchError, UsageError
from pixsearch.model.devices import autocast, best_device

Precision = Literal["no", "bf16", "fp16"]
T = TypeVar("T")

_LONGEST_WAIT = timedelta(hours=12)  # the others wait while one process reads the data and encodes the pictures


def make_accelerator(precision: Precision | None = None) -> Accelerator:
    """The GPU where there is one, and one of the processes that torchrun or accelerate has started.

    Args:
        precision: None is bf16 where the hardware has it.

    Raises:
        UsageError: fp16 on a CPU.
    """
    device = best_device()
    if precision is None:
        precision = "bf16" if isinstance(autocast(device), torch.autocast) else "no"
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("a CPU trains in fp32 or bf16", "Leave --precision out")
    AcceleratorState._reset_state()  # it is the process's, not the run's, and a second run may want another precision
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # an objective need not reach every head
    waiting = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    return Accelerator(mixed_precision=precision, cpu=device.type == "cpu", kwargs_handlers=[unused, waiting])


def on_main_process(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """What `work` returns, or the PixsearchError that it raises, in every process; one alone does it."""
    outcome: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [work()]
        except PixsearchError as error:
            outcome = [error]
    broadcast_object_list(outcome)
    if isinstance(outcome[0], PixsearchError):
        raise outcome[0]
    result: T = outcome[0]
    return result


def on_each_process(work: Callable[[], T]) -> list[T]:
    """What `work` returns in each process, by rank, in every process; or a PixsearchError that it raised in one."""
    outcome: Any
    try:
        outcome = work()
    except PixsearchError as error:
        outcome = error
    outcomes: list[Any] = gather_object([outcome])
    for one in outcomes:
        if isinstance(one, PixsearchError):
            raise one
    return outcomes
