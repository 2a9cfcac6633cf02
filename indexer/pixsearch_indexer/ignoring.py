"""Exclude files from a scan with gitignore patterns from the command line and from `.pixsearchignore` files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pixsearch.errors import UsageError
from pixsearch.storage import read_file, to_path
from pixsearch_indexer.gitignore import Pattern, excludes, read_patterns

_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The patterns that apply in a folder, ordered from the root to the deepest folder. Falsy if there are none."""

    FILE: ClassVar[bytes] = b".pixsearchignore"

    patterns: tuple[tuple[bytes, Sequence[Pattern]], ...] = ()
    """The patterns from each file, with the folder that they are relative to.

    Patterns from the command line are relative to the root.
    """

    @classmethod
    def of_root(cls, root: bytes, patterns: Sequence[str]) -> IgnoreRules:
        """Return the rules for a root, which are the patterns from the command line."""
        return cls(((root, read_patterns(os.fsencode("\n".join(patterns)))),)) if patterns else cls()

    def with_rules_of(self, folder: bytes) -> IgnoreRules:
        """Return these rules plus those from the pattern file in a folder, if it has one.

        Raises UsageError if the file cannot be read.
        """
        try:
            text = read_file(to_path(os.path.join(folder, self.FILE)), _LIMIT_BYTES)  # noqa: PTH118 - bytes
        except FileNotFoundError:
            return self
        except OSError as error:
            message = f"its {os.fsdecode(self.FILE)} cannot be read: {error.strerror}"
            raise UsageError(message, "Fix or remove it") from error
        return IgnoreRules((*self.patterns, (folder, read_patterns(text))))

    def matches(self, path: bytes, is_folder: bool) -> bool:
        """Return whether a path is excluded. As in git, the deepest matching pattern decides."""
        for folder, patterns in reversed(self.patterns):
            if (decided := excludes(patterns, path[len(folder.rstrip(b"/")) + 1 :], is_folder)) is not None:
                return decided
        return False

    def __bool__(self) -> bool:
        return bool(self.patterns)


def check_patterns(lines: Sequence[str]) -> None:
    """Raise UsageError if a pattern cannot match anything. In pattern files, such patterns are skipped instead."""
    for line in lines:
        if line.strip() and not line.startswith("#") and not read_patterns(os.fsencode(line)):
            raise UsageError(f"{line!r} is not a valid gitignore pattern", "See: https://git-scm.com/docs/gitignore")
