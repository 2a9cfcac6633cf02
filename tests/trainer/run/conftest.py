from __future__ import annotations

from dataclasses import dataclass

from pixsearch_trainer.run.stage import StageOptions


class Numbers(list[float]):
    """A batch of numbers, each from a file named after it."""

    @property
    def names(self) -> list[str]:
        return [f"{number:g}.jpg" for number in self]


@dataclass(frozen=True, kw_only=True)
class Constant(StageOptions):
    """Constant learning rates, unless there is a factor for each step."""

    rates: tuple[float, ...] = ()

    def rate(self, step: int, steps: int) -> float:
        return self.rates[step] if self.rates else 1.0
