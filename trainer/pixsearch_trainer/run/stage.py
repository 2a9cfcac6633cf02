"""A stage of a run, as data: what is trained, on what batches, by what losses, and what is done with the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pixsearch.errors import UsageError
from pixsearch_trainer.run.schedules import Schedule, cosine


class Batch(Protocol):
    """What the loop asks of a batch; the rest is between the batch and its objective."""

    @property
    def names(self) -> list[str]:
        """The files it was made from, for messages."""

    def __len__(self) -> int: ...


Batches = Callable[[int], Iterator[Any]]
"""Batches from the n-th step on, without end."""

Judge = Callable[[], tuple[float, dict[str, object]]]
"""Measures the network on val: a score, the higher the better, and the figures behind it."""


class Objective(nn.Module):
    """What a stage minimises: a module, so that it can be wrapped for several processes.

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
    """See `Stage.kept`."""
    share: float = 1.0
    """Of the time that --minutes leaves, relative to the other stages."""

    def __post_init__(self) -> None:
        """Raises UsageError where a number is impossible."""
        for name, value in vars(self).items():
            if name.endswith(_SHARES) and not 0 <= value <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {value}")
            if name in _POSITIVE and value is not None and value <= 0:
                raise UsageError(f"{name} must be positive, not {value}")


_SHARES = ("dropout", "softness", "warm_up", "kept", "masked_share", "teacher_weight")
_POSITIVE = ("batch", "share", "clip", "temperature", "block", "neighbours", "negatives", "hardest", "sampled_pixels")


@dataclass
class Stage:
    """One thing to train."""

    objective: Objective
    optimizers: list[torch.optim.Optimizer]
    batches: Batches
    steps: int
    schedule: Schedule = field(default_factory=lambda: cosine(0.1))
    clip: float | None = None
    judge: Judge | None = None
    """None where there is no val: then the last weights stay."""
    looks: int = 1
    kept: float = 0.0
    """Share of the trained weights that stays what it was before the stage (WiSE-FT; Wortsman et al., 2022): a network
    learns few pairs by heart, and forgets less of everything else this way."""


def adamw(options: StageOptions, *groups: tuple[list[nn.Parameter], float]) -> torch.optim.Optimizer:
    """AdamW on groups of parameters, each with its learning rate; biases, norms and scalars do not decay."""
    split: list[dict[str, Any]] = []
    for parameters, rate in groups:
        for decays in (True, False):
            chosen = [p for p in parameters if (p.dim() > 1) is decays]
            decay = options.weight_decay if decays else 0.0
            if chosen:
                split.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(split)


def train_only(network: nn.Module, *parts: nn.Module | nn.Parameter) -> list[list[nn.Parameter]]:
    """Let only these parts of a network be trained; returns the parameters of each."""
    network.requires_grad_(False).eval()
    chosen = [[part] if isinstance(part, nn.Parameter) else list(part.parameters()) for part in parts]
    for parameters in chosen:
        for parameter in parameters:
            parameter.requires_grad_(True)
    return chosen
