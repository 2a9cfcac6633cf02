"""Define a training stage: its objective, optimisers, batches, options and judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pixsearch.errors import UsageError


class Batch(Protocol):
    """The interface that the training loop needs; only the objective uses the contents of a batch."""

    @property
    def names(self) -> list[str]:
        """The files of the pictures in the batch, for messages."""

    def __len__(self) -> int: ...


Batches = Callable[[int], Iterator[Any]]
"""A function that yields batches endlessly, starting at the given step."""

Judge = Callable[[], tuple[float, dict[str, object]]]
"""A function that measures the network on val. It returns a score (higher is better) and the detailed figures."""


class Objective(nn.Module):
    """A module that computes the losses of a stage.

    `forward` takes a batch and returns scalar losses by name. "loss" is minimised, and all others are only logged.
    """

    def forward(self, batch: Any) -> dict[str, Tensor]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """The options shared by all stages."""

    epochs: float = 10.0
    """The approximate number of times each picture is drawn."""
    steps: int | None = None
    """The number of steps, which overrides `epochs`; 0 skips the stage."""
    batch: int = 64
    """The number of pairs per step and process."""
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.1
    """The share of steps during which learning rates rise."""
    clip: float | None = None
    """The maximum gradient norm of a step; None for no limit."""
    looks: int = 1
    """The number of measurements on val, in addition to the one at the start."""
    kept: float = 0.0
    """The weight of the original weights when they are averaged with the trained ones (WiSE-FT; Wortsman et al., 2022).
    Averaging reduces forgetting when training on a small data set."""
    share: float = 1.0
    """The stage's share of --minutes, relative to other stages."""

    def __post_init__(self) -> None:
        """Check the options. Raises UsageError if a value is out of range."""
        for name, value in vars(self).items():
            if name.endswith(_SHARES) and not 0 <= value <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {value}")
            if name in _POSITIVE and value is not None and value <= 0:
                raise UsageError(f"{name} must be positive, not {value}")

    def rate(self, step: int, steps: int) -> float:
        """Return the factor for all learning rates at a step, counted from 0. It rises linearly to 1, then falls."""
        rising = round(self.warm_up * steps)
        return (step + 1) / rising if step < rising else self.falling(step, steps)

    def falling(self, step: int, steps: int) -> float:
        """Return the factor after the warm-up: a half cosine that ends at 0."""
        rising = round(self.warm_up * steps)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


_SHARES = ("dropout", "softness", "warm_up", "kept", "masked_share", "teacher_weight")
_POSITIVE = ("batch", "share", "clip", "temperature", "block", "neighbours", "negatives", "hardest", "sampled_pixels")


@dataclass
class Stage:
    """A stage that is ready for training."""

    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    batches: Batches
    options: StageOptions
    judge: Judge | None = None
    """The judge of the stage. If it is None, for example because val is empty, the last weights are used."""
    steps_an_epoch: int = 1
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        epochs = max(1, round(self.options.epochs * self.steps_an_epoch))
        self.steps = epochs if self.options.steps is None else self.options.steps


def train_only(
    network: nn.Module, *groups: tuple[float, Sequence[nn.Module | nn.Parameter]]
) -> dict[nn.Parameter, float]:
    """Freeze a network except for some parts. Return the learning rate of each trained parameter.

    Args:
        groups: learning rates, each with the parts that it applies to. Parts may be outside the network. If a parameter
            occurs twice, the last rate applies.
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
    """Return AdamW for parameters and their learning rates. Biases, norms and scalars have no weight decay."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, rate in rates.items():
        groups.setdefault((rate, parameter.dim() > 1), []).append(parameter)
    return torch.optim.AdamW(
        {"params": parameters, "lr": rate, "weight_decay": options.weight_decay if decays else 0.0}
        for (rate, decays), parameters in groups.items()
    )
