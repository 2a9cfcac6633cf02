"""Numbers that val chooses rather than a gradient."""

from __future__ import annotations

from collections.abc import Mapping

_NOISE = 0.5  # points of R@1 by which two runs differ that are alike but for their seed (docs/experiments.md)


def best_value(reached: Mapping[float, float], start: float) -> float:
    """The value that reached most, or `start` where none reached more than it but for noise.

    Args:
        reached: R@1 by each value that was tried, percent; `start` is one of them.
    """
    best = max(reached, key=lambda value: reached[value])
    return best if reached[best] > reached[start] + _NOISE else start
