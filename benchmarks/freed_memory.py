"""Measure how fast the CNN trains on a CPU, with glibc keeping or returning the memory that torch frees.

    python benchmarks/freed_memory.py [--pictures 16] [--steps 3]

Runs forward and backward passes of the built-in checkpoint's CNN on random pictures in fp32. The two modes run in turn
in separate processes, because the glibc setting cannot be undone. `pixsearch train` lets glibc keep memory on a CPU.
The kernel's CPU time is spent on clearing pages, and is the most reliable figure when other programs use the cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import torch
import typer

from benchmarks.measuring import print_machine
from pixsearch.model.checkpoints import find_checkpoint, load_network
from pixsearch_trainer.run.accelerator import keep_freed_memory


def main(
    pictures: Annotated[int, typer.Option(help="Number of pictures per step.")] = 16,
    steps: Annotated[int, typer.Option(help="Number of steps. The first one is not timed.")] = 3,
    turns: Annotated[int, typer.Option(help="Number of measurements of each mode.")] = 2,
    measured: Annotated[
        bool | None, typer.Option("--kept/--handed-back", help="Measure only this mode, in this process.")
    ] = None,
) -> None:
    if measured is not None:
        print(a_step(pictures, steps, kept=measured))
        return
    print_machine()
    for _ in range(turns):
        for way in ("--handed-back", "--kept"):
            command = [sys.executable, *sys.argv, "--pictures", str(pictures), "--steps", str(steps), way]
            print(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout, end="", flush=True)


def a_step(pictures: int, steps: int, *, kept: bool) -> str:
    """Return a line with the mean time per step, excluding the first step."""
    if kept:
        keep_freed_memory()
    network, processor = load_network(find_checkpoint(None))
    backbone = network.model.backbone.requires_grad_(True)
    edge = processor.config.input_size
    pixels = torch.rand(pictures, 3, edge, edge).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(steps):
        backbone.zero_grad()
        backbone(pixels).square().mean().backward()
        times.append(os.times())
    first, last, timed = times[0], times[-1], steps - 1
    seconds, user, kernel = ((last[field] - first[field]) / timed for field in (4, 0, 1))
    rate = f"{pictures / seconds:.1f} pictures/s"
    return (
        f"memory {'kept' if kept else 'returned'}: {rate}; CPU time per step: user {user:.2f} s, kernel {kernel:.2f} s"
    )


if __name__ == "__main__":
    typer.run(main)
