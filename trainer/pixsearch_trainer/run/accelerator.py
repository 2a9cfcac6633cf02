"""The accelerator of a run: device, number format and processes."""

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
_LONGEST_WAIT = timedelta(hours=12)  # the other processes wait while one reads the data and encodes the pictures


def make_accelerator(precision: Precision | None = None) -> Accelerator:
    """Return an accelerator on the GPU if there is one, joined with the processes that torchrun or accelerate started.

    Args:
        precision: "no" for fp32; None for bf16 if the hardware supports it natively, else fp32.
    """
    device = best_device()
    if device.type == "cpu":
        keep_freed_memory()
    if precision is None:
        precision = "bf16" if isinstance(autocast(device), torch.autocast) else "no"
    AcceleratorState._reset_state()  # global state: a second run may use another precision
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # an objective need not reach every head
    waiting = InitProcessGroupKwargs(timeout=_LONGEST_WAIT)
    return Accelerator(mixed_precision=precision, cpu=device.type == "cpu", kwargs_handlers=[unused, waiting])


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks instead of returning them to the system, which clears their pages each time.

    A CNN's forward and backward passes on a CPU take a fifth less CPU time this way (docs/experiments.md).
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # another C library
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        allocator.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def on_main_process(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do the work in the main process; return its result, or raise its PixsearchError, in every process."""
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
    """Return whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
