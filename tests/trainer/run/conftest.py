from __future__ import annotations


class Numbers(list[float]):
    """A batch of numbers, each from a file of its name."""

    @property
    def names(self) -> list[str]:
        return [f"{number:g}.jpg" for number in self]
