"""Record problems in a data set, so that one problem does not stop the reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pixsearch.printable import printable
from pixsearch.storage import FilePath

Item = TypeVar("Item")
Made = TypeVar("Made")


class Malformed(Exception):
    """A part of a data set is missing or malformed; the message describes the problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a data set that cannot be used.

    `str(problem)` is one printable line: "captions.tsv:17: a.jpg does not exist".
    """

    file: FilePath
    line: int | None
    """The line number, starting at 1; None if there is none. For JSON, `what` contains the entry number instead."""
    what: str

    def __str__(self) -> str:
        location = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return printable(f"{location}: {self.what}")


def parse_each(
    items: Iterable[Item], parse: Callable[[Item], Made | None], file: FilePath, problems: list[Problem], noun: str = ""
) -> list[Made]:
    """Parse the items of a file. Return the results that are not None, and add a problem for each Malformed.

    `noun` names the items in problems, such as "image" in "image 1". If it is empty, the items are lines.
    """
    made = []
    for number, item in enumerate(items, 1):
        try:
            if (one := parse(item)) is not None:
                made.append(one)
        except Malformed as error:
            problems.append(
                Problem(file, None if noun else number, f"{noun} {number}: {error}" if noun else str(error))
            )
    return made


def shown(text: str) -> str:
    """Return text from a data set in a form for messages: one printable line, truncated if long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 80 else f"{line[:78]}.."
