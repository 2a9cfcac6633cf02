"""What is wrong in a data set: recorded and skipped, never raised one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pixsearch.printable import printable
from pixsearch.storage import FilePath

Item = TypeVar("Item")
Made = TypeVar("Made")


class Malformed(Exception):
    """Something in a data set does not follow its format, or does not exist; the message says what."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in a data set that cannot be used, and where it is.

    `str(problem)` is one printable line: "captions.tsv:17: a.jpg does not exist".
    """

    file: FilePath
    line: int | None
    """Counted from 1; None where the file has no lines. Entries of JSON are named in `what`, counted from 1 as well."""
    what: str

    def __str__(self) -> str:
        location = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return printable(f"{location}: {self.what}")


def parse_each(
    items: Iterable[Item], parse: Callable[[Item], Made | None], file: FilePath, problems: list[Problem], noun: str = ""
) -> list[Made]:
    """Return what `parse` makes of the items of a file, without None; where it raises Malformed, add a problem.

    `noun` names the items in problems, as "image" does in "image 1"; without one they are the lines of the file.
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
    """Return text from a data set as it appears in a message: one printable line, cut where it is long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= 80 else f"{line[:78]}.."
