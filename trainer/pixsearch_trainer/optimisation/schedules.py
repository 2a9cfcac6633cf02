"""Learning rates over a run: a factor for every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]
"""From a step, counted from 0, to what the learning rates are multiplied by."""


def cosine(steps: int, warm_up: int) -> Schedule:
    """Rises in a line over `warm_up` steps to 1, then falls as half a cosine to 0 at `steps`."""

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))

    return factor


def step_down(drops: Sequence[int], warm_up: int) -> Schedule:
    """Rises in a line over `warm_up` steps to 1, then a tenth of what it was at each of `drops` (section 4.1)."""

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.1 ** sum(step >= drop for drop in drops)

    return factor
