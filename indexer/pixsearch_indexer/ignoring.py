"""What is left out of a scan: gitignore patterns, of the command and of `.pixsearchignore` files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pixsearch.errors import UsageError
from pixsearch.storage import read_file, to_path

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


@dataclass(frozen=True, slots=True)
class Ignoring:
    """The patterns in force in a folder, those that lie deepest last. False where there are none."""

    FILE: ClassVar[bytes] = b".pixsearchignore"

    specs: tuple[tuple[bytes, GitIgnoreSpec], ...] = ()
    """Each with the folder that its patterns are relative to; for those of the command, the root."""

    @classmethod
    def of_root(cls, root: bytes, patterns: Sequence[str]) -> Ignoring:
        """What the command was told to leave out below a root."""
        return cls(((root, _spec(patterns)),)) if patterns else cls()

    def and_those_of(self, folder: bytes) -> Ignoring:
        """With those of the file in this folder. Raises OSError where it cannot be read, UsageError for no pattern."""
        written = read_file(to_path(os.path.join(folder, self.FILE)))  # noqa: PTH118 - bytes
        lines = os.fsdecode(written).replace("\r\n", "\n").split("\n")
        return Ignoring((*self.specs, (folder, _spec(lines))))

    def matches(self, path: bytes, is_folder: bool) -> bool:
        """Whether a path is to be left out: the deepest pattern that speaks of it decides, as for git."""
        for folder, spec in reversed(self.specs):
            relative = os.fsdecode(path[len(folder.rstrip(b"/")) + 1 :]) + "/" * is_folder
            if (said := spec.check_file(relative).include) is not None:
                return said
        return False

    def __bool__(self) -> bool:
        return bool(self.specs)


def check_patterns(lines: Sequence[str]) -> None:
    """Raises UsageError for the first that is no gitignore pattern."""
    if lines:
        _spec(lines)


def _spec(lines: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # 50 ms that only those with patterns need to pay

    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except (ValueError, re.error) as error:
            raise UsageError(f"{line!r} is no gitignore pattern", "See git's documentation of gitignore") from error
    return GitIgnoreSpec.from_lines(lines)
