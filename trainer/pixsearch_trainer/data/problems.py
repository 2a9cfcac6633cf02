"""The problems in a data set, which are recorded and skipped rather than raised one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pixsearch.printable import printable
from pixsearch.storage import FilePath

Item = TypeVar("Item")
Made = TypeVar("Made")


class Malformed(Exception):
    """A part of a data set is missing or does not follow its format; the message says how."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a data set that cannot be used.

    `str(problem)` is one printable line: "captions.tsv:17: a.jpg does not exist".
    """

    file: FilePath
    line: int | None
    """The line, counted from 1; None if the file has no lines. `what` counts the entries of JSON, also from 1."""
    what: str

    def __str__(self) -> str:
        location = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return printable(f"{location}: {self.what}")


def parse_each(
    items: Iterable[Item], parse: Callable[[Item], Made | None], file: FilePath, problems: list[Problem], noun: str = ""
) -> list[Made]:
    """Return the results of `parse` for the items of a file, without None. Add a problem for each Malformed it raises.

    `noun` names the items in problems, such as "image" in "image 1"; without it the items are the lines of the file.
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
    """Return text from a data set as it appears in messages: one printable line, truncated if it is long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 80 else f"{line[:78]}.."
