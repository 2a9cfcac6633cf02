"""A stage of a run, as data: its objective, optimisers, batches, options and judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pixsearch.errors import UsageError


class Batch(Protocol):
    """The part of a batch that the loop uses; its contents concern only the objective."""

    @property
    def names(self) -> list[str]:
        """The files of its pictures, for messages."""

    def __len__(self) -> int: ...


Batches = Callable[[int], Iterator[Any]]
"""A function that yields batches from a first step on, without end."""

Judge = Callable[[], tuple[float, dict[str, object]]]
"""A function that measures the network on val: returns a score, the higher the better, and its figures."""


class Objective(nn.Module):
    """The losses that a stage minimises; a module, so that it can be wrapped for several processes.

    Its forward takes a batch and returns scalar losses by name: "loss" is minimised, and the others are only logged.
    """

    def forward(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """The options that all stages share; a stage's own options extend them."""

    epochs: float = 10.0
    """The approximate number of times that each picture is drawn."""
    steps: int | None = None
    """The number of steps, which overrides epochs; 0 leaves the stage out."""
    batch: int = 64
    """Pairs per step and process."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    """The share of the steps in which learning rates rise."""
    clip: float | None = None
    """The largest norm of a step's gradient."""
    looks: int = 1
    """The number of measurements on val, in addition to the one at the start."""
    kept: float = 0.0
    """The share of the weights before the stage in an average with the trained ones (WiSE-FT; Wortsman et al., 2022): a
    network memorises a small data set, and forgets less of everything else this way."""
    share: float = 1.0
    """The stage's part of --minutes, relative to the other stages."""

    def __post_init__(self) -> None:
        """Check the options. Raises UsageError if a number is out of range."""
        for name, value in vars(self).items():
            if name.endswith(_SHARES) and not 0 <= value <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {value}")
            if name in _POSITIVE and value is not None and value <= 0:
                raise UsageError(f"{name} must be positive, not {value}")

    def rate(self, step: int, steps: int) -> float:
        """Return the factor of all learning rates at a step, counted from 0: it rises linearly to 1, and then falls."""
        rising = round(self.warm_up * steps)
        return (step + 1) / rising if step < rising else self.falling(step, steps)

    def falling(self, step: int, steps: int) -> float:
        """Return the factor after the warm-up: half a cosine down to 0."""
        rising = round(self.warm_up * steps)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


_SHARES = ("dropout", "softness", "warm_up", "kept", "masked_share", "teacher_weight")
_POSITIVE = ("batch", "share", "clip", "temperature", "block", "neighbours", "negatives", "hardest", "sampled_pixels")


@dataclass
class Stage:
    """A stage, ready to be trained."""

    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    batches: Batches
    options: StageOptions
    judge: Judge | None = None
    """The judge of the stage; None without val, in which case the last weights are used."""
    steps_an_epoch: int = 1
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        epochs = max(1, round(self.options.epochs * self.steps_an_epoch))
        self.steps = epochs if self.options.steps is None else self.options.steps


def train_only(
    network: nn.Module, *groups: tuple[float, Sequence[nn.Module | nn.Parameter]]
) -> dict[nn.Parameter, float]:
    """Freeze all but some parts of a network, and return the learning rate of each trained parameter.

    Args:
        groups: learning rates with the parts that have them, which may lie outside the network. If a parameter occurs
            twice, its second rate applies.
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
    """Return AdamW for parameters with their learning rates, without weight decay for biases, norms and scalars."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, rate in rates.items():
        groups.setdefault((rate, parameter.dim() > 1), []).append(parameter)
    return torch.optim.AdamW(
        {"params": parameters, "lr": rate, "weight_decay": options.weight_decay if decays else 0.0}
        for (rate, decays), parameters in groups.items()
    )
