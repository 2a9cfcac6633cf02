"""Learning rates over a stage: a factor for every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int, int], float]
"""From a step, counted from 0, and the number of steps to the factor of all learning rates."""


def cosine(warm_up: float) -> Schedule:
    """Rise linearly to 1 over a share `warm_up` of the steps, then fall along half a cosine to 0."""

    def factor(step: int, steps: int) -> float:
        rising = round(warm_up * steps)
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor


def step_down(warm_up: float, drops: Sequence[float]) -> Schedule:
    """Rise as `cosine` does, then fall to a tenth at each of `drops`, shares of the steps (section 4.1)."""

    def factor(step: int, steps: int) -> float:
        rising = round(warm_up * steps)
        if step < rising:
            return (step + 1) / rising
        return 0.1 ** sum(step >= round(drop * steps) for drop in drops)

    return factor
