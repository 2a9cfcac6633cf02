"""How many pairs a second the trainer's step takes, and what share of this machine's arithmetic that is.

    python benchmarks/training.py [--batch 32] [--train-cnn]

A step is forward, backward and AdamW of ITC, ITM and late interaction, from pixels of the size that the shipped model
sees, on random pictures and words: on a GPU where there is one, else on the CPU, in the number format that training
takes there. The rate beside it is that of a product of two large matrices in the same format.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import say_where
from pixsearch.model.checkpoints import SHIPPED, load_checkpoint
from pixsearch.model.devices import autocast, best_device
from pixsearch_trainer.batches.pairs import PairBatch
from pixsearch_trainer.objectives.contrastive import ContrastiveObjective, ContrastiveOptions

WORDS = 16
VOCABULARY = 30522
MATRIX = 4096
STEPS = 7


def main(
    batch: Annotated[int, typer.Option(help="Pairs a step.")] = 32,
    train_cnn: Annotated[bool, typer.Option(help="Also the CNN, as `pixsearch train --train-cnn` does.")] = False,
) -> None:
    say_where()
    device = best_device()
    network, _ = load_checkpoint(SHIPPED)
    network.to(device).train()
    network.model.backbone.requires_grad_(train_cnn)
    objective = ContrastiveObjective(network, ContrastiveOptions())
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    pairs = random_pairs(batch, network.config.input_size, device)

    def step() -> None:
        optimizer.zero_grad()
        with autocast(device):
            loss = objective(pairs)["loss"]
        loss.backward()
        optimizer.step()
        finish(device)

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = timed(step)
    rate, most = counter.get_total_flops() / seconds, matrix_rate(device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}: {batch} pairs a step, {batch / seconds:.1f} pairs/s, peak {peak_gb(device):.1f} GB")
    print(f"{rate / 1e9:,.0f} GFLOP/s, {rate / most:.0%} of a matrix product's {most / 1e9:,.0f}")


def random_pairs(batch: int, edge: int, device: torch.device) -> PairBatch:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, VOCABULARY, (batch, WORDS), generator=generator)
    pixels = [torch.randn(3, edge, edge, generator=generator).to(device) for _ in range(batch)]
    return PairBatch(
        pictures=torch.arange(batch, device=device),
        captions=torch.arange(batch, device=device),
        ids=ids.to(device),
        mask=(ids > 0).to(device),
        pixels=pixels,
        grid=None,
        pixel_mask=None,
        names=[],
    )


def matrix_rate(device: torch.device) -> float:
    """FLOP/s of a product of two square matrices in the format that training takes here."""
    with autocast(device) as entered:
        dtype = torch.bfloat16 if entered is not None else torch.float32
    matrix = torch.randn(MATRIX, MATRIX, device=device, dtype=dtype)

    def multiply() -> None:
        matrix @ matrix
        finish(device)

    return 2 * MATRIX**3 / timed(multiply)


def timed(work: Callable[[], None]) -> float:
    """The median of some runs in seconds, after two that warm up."""
    taken = []
    for number in range(STEPS + 2):
        began = time.perf_counter()
        work()
        if number >= 2:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    typer.run(main)
