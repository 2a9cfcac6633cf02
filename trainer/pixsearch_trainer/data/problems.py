"""What is wrong in a data set: recorded and skipped, never raised one by one."""

from __future__ import annotations

from dataclasses import dataclass

from pixsearch.storage import FilePath

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in a data set that cannot be used, and where it stands.

    `str(problem)` is one printable line: "captions.tsv:17: a.jpg is not there".
    """

    file: FilePath
    line: int | None
    """Counted from 1; None where the file has no lines. Entries of JSON are named in `what`, counted from 1 as well."""
    what: str

    def __str__(self) -> str:
        place = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return printable(f"{place}: {self.what}")


def shown(text: str) -> str:
    """Text out of a data set as a message has it: in one line, not too long, printable."""
    line = printable(text)
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 2]}.."


def printable(text: str) -> str:
    """Text in one line, with what a terminal would obey or cannot show written out."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)
