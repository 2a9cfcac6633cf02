"""Set up the accelerator of a run: its device, number format and processes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401
from pixsearch.errors import PixsearchError
from pixsearch.model.devices import autocast, best_device

Precision = Literal["no", "bf16"]
T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_LONGEST_WAIT = timedelta(hours=12)  # other processes wait while the main one reads data and encodes pictures


def make_accelerator(precision: Precision | None = None) -> Accelerator:
    """Return an accelerator, on a GPU if there is one, for all processes started by torchrun or accelerate.

    Args:
        precision: "no" for fp32, or "bf16". None chooses bf16 if the hardware supports it natively, and fp32 otherwise.
    """
    device = best_device()
    if device.type == "cpu":
        keep_freed_memory()
    if precision is None:
        precision = "bf16" if isinstance(autocast(device), torch.autocast) else "no"
    AcceleratorState._reset_state()  # reset the global state, because a second run may use a different precision
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # not every objective uses all heads
    waiting = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    return Accelerator(mixed_precision=precision, cpu=device.type == "cpu", kwargs_handlers=[unused, waiting])


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks instead of returning them to the system, which clears their pages each time.

    This reduces the CPU time of a CNN's forward and backward passes by a fifth (docs/experiments.md).
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # a different C library
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        allocator.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def on_main_process(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Call a function in the main process. In every process, return its result or raise its PixsearchError."""
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


def in_any_process(flag: bool, accelerator: Accelerator) -> bool:
    """Return whether the flag is set in any process."""
    if accelerator.num_processes == 1:
        return flag
    flags: torch.Tensor = accelerator.reduce(torch.tensor(float(flag), device=accelerator.device), reduction="sum")
    return flags.item() > 0


def is_main_process() -> bool:
    """Return whether this is the only process, or the first process started by torchrun."""
    return os.environ.get("RANK", "0") == "0"
