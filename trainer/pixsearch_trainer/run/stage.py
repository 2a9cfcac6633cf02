"""A stage of a run, as data: what is trained, on what batches, by what losses, and what is done with the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pixsearch.errors import UsageError


class Batch(Protocol):
    """A batch as the loop knows it; the rest is between the batch and its objective."""

    @property
    def names(self) -> list[str]:
        """The files it was made from, for messages."""

    def __len__(self) -> int: ...


Batches = Callable[[int], Iterator[Any]]
"""Batches from the n-th step on, without end."""

Judge = Callable[[], tuple[float, dict[str, object]]]
"""Measures the network on val: a score, the higher the better, and the figures behind it."""


class Objective(nn.Module):
    """The losses that a stage minimises: a module, so that it can be wrapped for several processes.

    Its forward takes a batch and returns scalar losses by name; "loss" is minimised, the others are only logged.
    """

    def forward(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """The numbers that every stage has; a stage's own options extend them."""

    epochs: float = 10.0
    """Each picture is drawn about this often."""
    steps: int | None = None
    """In place of epochs; 0 leaves the stage out."""
    batch: int = 64
    """Pairs a step and process."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    """Share of the steps in which learning rates rise."""
    clip: float | None = None
    """Largest norm of a step's gradient."""
    looks: int = 1
    """How often val is measured, beside the start."""
    kept: float = 0.0
    """Share of the trained weights that stays what it was before the stage (WiSE-FT; Wortsman et al., 2022): a network
    learns few pairs by heart, and forgets less of everything else this way."""
    share: float = 1.0
    """The part of --minutes that the stage has, relative to the other stages."""

    def __post_init__(self) -> None:
        """Raises UsageError where a number is impossible."""
        for name, value in vars(self).items():
            if name.endswith(_SHARES) and not 0 <= value <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {value}")
            if name in _POSITIVE and value is not None and value <= 0:
                raise UsageError(f"{name} must be positive, not {value}")

    def rate(self, step: int, steps: int) -> float:
        """Return the factor of all learning rates at a step, counted from 0: it rises linearly to 1, then falls."""
        rising = round(self.warm_up * steps)
        return (step + 1) / rising if step < rising else self.falling(step, steps)

    def falling(self, step: int, steps: int) -> float:
        """Half a cosine from the end of the warm-up down to 0."""
        rising = round(self.warm_up * steps)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


_SHARES = ("dropout", "softness", "warm_up", "kept", "masked_share", "teacher_weight")
_POSITIVE = ("batch", "share", "clip", "temperature", "block", "neighbours", "negatives", "hardest", "sampled_pixels")


@dataclass
class Stage:
    """One thing to train."""

    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    batches: Batches
    options: StageOptions
    judge: Judge | None = None
    """None where there is no val: then the last weights stay."""
    steps_an_epoch: int = 1
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        epochs = max(1, round(self.options.epochs * self.steps_an_epoch))
        self.steps = epochs if self.options.steps is None else self.options.steps


def train_only(
    network: nn.Module, *groups: tuple[float, Sequence[nn.Module | nn.Parameter]]
) -> dict[nn.Parameter, float]:
    """Let only some parts of a network be trained, and return the learning rate of each parameter.

    Args:
        groups: a learning rate, and the parts that have it, which need not be the network's. Where a parameter is named
            twice, the second rate counts.
    """
    network.requires_grad_(False).eval()
    rates: dict[nn.Parameter, float] = {}
    for rate, parts in groups:
        for part in parts:
            rates |= dict.fromkeys([part] if isinstance(part, nn.Parameter) else part.parameters(), rate)
    for parameter in rates:
        parameter.requires_grad_(True)
    return rates


def adamw(options: StageOptions, rates: Mapping[nn.Parameter, float]) -> torch.optim.Optimizer:
    """AdamW on parameters with their learning rates; biases, norms and scalars do not decay."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, rate in rates.items():
        groups.setdefault((rate, parameter.dim() > 1), []).append(parameter)
    return torch.optim.AdamW(
        {"params": parameters, "lr": rate, "weight_decay": options.weight_decay if decays else 0.0}
        for (rate, decays), parameters in groups.items()
    )
