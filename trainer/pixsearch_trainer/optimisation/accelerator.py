"""On what a run computes: device, number format and processes."""

from __future__ import annotations

from typing import Literal

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState

import pixsearch.torchvision_beside_cpu_torch  # noqa: F401
from pixsearch.errors import UsageError
from pixsearch.model.runtime import autocast, best_device

Precision = Literal["no", "bf16", "fp16"]


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
    return Accelerator(mixed_precision=precision, cpu=device.type == "cpu", kwargs_handlers=[unused])
