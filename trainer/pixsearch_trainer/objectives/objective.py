"""What every objective is."""

from __future__ import annotations

from torch import nn


class Objective(nn.Module):
    """What is minimised: a module, so that it can be wrapped for several processes.

    Its forward takes a batch and gives losses by name, scalars; "loss" is minimised, the others are only logged.
    """

    network: nn.Module
    """What is trained, and what an average of weights is taken of."""
