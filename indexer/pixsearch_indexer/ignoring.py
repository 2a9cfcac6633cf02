"""What is left out of a scan: gitignore patterns, of the command and of `.pixsearchignore` files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pixsearch.errors import UsageError
from pixsearch.storage import read_file, to_path
from pixsearch_indexer.gitignore import Pattern, leaves_out, read_patterns

_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ignoring:
    """The patterns in force in a folder, those that lie deepest last. False where there are none."""

    FILE: ClassVar[bytes] = b".pixsearchignore"

    patterns: tuple[tuple[bytes, Sequence[Pattern]], ...] = ()
    """Each file's with the folder that they are relative to; for those of the command, the root."""

    @classmethod
    def of_root(cls, root: bytes, patterns: Sequence[str]) -> Ignoring:
        """Return the patterns that the command was given, for a root."""
        return cls(((root, read_patterns(os.fsencode("\n".join(patterns)))),)) if patterns else cls()

    def with_rules_of(self, folder: bytes) -> Ignoring:
        """Return these patterns with those of the file in a folder, if it has one.

        Raises UsageError where that cannot be read.
        """
        try:
            text = read_file(to_path(os.path.join(folder, self.FILE)), _LIMIT_BYTES)  # noqa: PTH118 - bytes
        except FileNotFoundError:
            return self
        except OSError as error:
            message = f"its {os.fsdecode(self.FILE)} cannot be read: {error.strerror}"
            raise UsageError(message, "Fix or remove it") from error
        return Ignoring((*self.patterns, (folder, read_patterns(text))))

    def matches(self, path: bytes, is_folder: bool) -> bool:
        """Whether a path is to be left out: the deepest pattern that speaks of it decides, as for git."""
        for folder, patterns in reversed(self.patterns):
            if (decided := leaves_out(patterns, path[len(folder.rstrip(b"/")) + 1 :], is_folder)) is not None:
                return decided
        return False

    def __bool__(self) -> bool:
        return bool(self.patterns)


def check_patterns(lines: Sequence[str]) -> None:
    """Raises UsageError for the first that can match nothing, which git passes over in files."""
    for line in lines:
        if line.strip() and not line.startswith("#") and not read_patterns(os.fsencode(line)):
            raise UsageError(f"{line!r} is no gitignore pattern", "See git's documentation of gitignore")
