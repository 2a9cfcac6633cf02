"""Match gitignore patterns as git does: byte by byte, in time linear in the length of the path.

The semantics follow gitignore(5) and git's wildmatch.c. Each pattern is compiled to a regular expression with atomic
groups: whatever follows a star is searched for from the left, and the first match is final. A later match could only
leave less of the path for the rest of the pattern, so backtracking is never needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(rb"\\.?|[^\\]", re.DOTALL)
_STARS = re.compile(rb"\*+")
_POSIX_CLASS = re.compile(rb"\[:([^]]*):\]")
_POSIX_CLASSES = {
    b"alnum": rb"[0-9A-Za-z]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[!-~]",
    b"lower": rb"[a-z]",
    b"print": rb"[ -~]",
    b"punct": rb"[!-/:-@\[-`{-~]",
    b"space": rb"[ \t\n\v\f\r]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern from one line of a pattern file."""

    expression: re.Pattern[bytes]
    excludes: bool
    """False if the line begins with "!"."""
    folders_only: bool
    name_only: bool
    """True if the pattern is matched only against the last part of a path, in any folder."""

    def matches(self, path: bytes, is_folder: bool) -> bool:
        """Return whether the pattern matches a path relative to the pattern file's folder."""
        subject = path.rpartition(b"/")[2] if self.name_only else path
        return (is_folder or not self.folders_only) and self.expression.match(subject) is not None


def read_patterns(text: bytes) -> list[Pattern]:
    """Parse a pattern file, skipping comments and, like git, patterns that cannot match anything."""
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    patterns = (_pattern(line.removesuffix(b"\r")) for line in lines if not line.startswith(b"#"))
    return [pattern for pattern in patterns if pattern is not None]


def excludes(patterns: Sequence[Pattern], path: bytes, is_folder: bool) -> bool | None:
    """Return whether the last matching pattern excludes a path, or None if no pattern matches."""
    return next((one.excludes for one in reversed(patterns) if one.matches(path, is_folder)), None)


def _pattern(line: bytes) -> Pattern | None:
    line = _without_trailing_spaces(line)
    glob = line.removeprefix(b"!")
    folders_only = glob.endswith(b"/")
    glob = glob[:-1] if folders_only else glob
    name_only = b"/" not in glob
    try:
        expression = re.compile(_expression(glob.removeprefix(b"/"), name_only), re.DOTALL)
    except ValueError:
        return None
    return Pattern(expression, not line.startswith(b"!"), folders_only, name_only)


def _without_trailing_spaces(line: bytes) -> bytes:
    end = 0
    for token in _TOKEN.finditer(line):  # an escaped space is kept
        if token[0] != b" ":
            end = token.end()
    return line[:end]


def _expression(glob: bytes, name_only: bool) -> bytes:
    """Translate a glob to a regular expression. Raises ValueError if the glob cannot match anything."""
    if not glob:
        raise ValueError("the pattern is empty")
    parts: list[bytes] = []
    open_star = open_folders = b""
    at = 0
    while at < len(glob):
        if stars := _STARS.match(glob, at):
            begins = at == 0 or glob[at - 1 : at] == b"/"
            at = stars.end()
            of_folders = not name_only and len(stars[0]) > 1 and begins and glob[at : at + 1] in (b"", b"/")
            parts.append(open_star + open_folders if of_folders else open_star)
            if not of_folders:
                parts.append(rb"(?>[^/]*?")
                open_star = b")"
            else:
                parts.append(rb"(?>(?:[^/]+/)*?" if at < len(glob) else rb"(?>.*")
                open_star, open_folders = b"", b")"
                at += 1
        elif glob[at : at + 1] == b"?":
            parts.append(rb"[^/]")
            at += 1
        elif glob[at : at + 1] == b"[":
            members, at = _class(glob, at + 1)
            parts.append(b"[" + b"".join(rb"\x%02x" % byte for byte in sorted(members - {ord("/")})) + b"]")
        else:
            character, at = _character(glob, at)
            parts.append(rb"\x%02x" % character)
    return b"".join([*parts, rb"\Z", open_star, open_folders])


def _character(glob: bytes, at: int) -> tuple[int, int]:
    """Return the byte at an index, which may be escaped, and the index after it. Raises ValueError if there is none."""
    at += glob[at : at + 1] == b"\\"
    if at >= len(glob):
        raise ValueError("the pattern is incomplete")
    return glob[at], at + 1


def _class(glob: bytes, at: int) -> tuple[set[int], int]:
    """Return the bytes that a character class matches, and the index after it. Raises ValueError if it is invalid."""
    negated = glob[at : at + 1] in (b"!", b"^")
    at = begin = at + negated
    members: set[int] = set()
    first: int | None = None  # the start of a range, if a hyphen follows
    while at == begin or glob[at : at + 1] != b"]":
        if (posix := _POSIX_CLASS.match(glob, at)) is not None:
            if posix[1] not in _POSIX_CLASSES:
                raise ValueError("unknown character class")
            members.update(byte for byte in range(256) if re.match(_POSIX_CLASSES[posix[1]], bytes([byte])))
            first, at = None, posix.end()
        elif first is not None and glob[at : at + 1] == b"-" and glob[at + 1 : at + 2] != b"]":
            last, at = _character(glob, at + 1)
            members.update(range(first, last + 1))
            first = None
        else:
            first, at = _character(glob, at)
            members.add(first)
    chosen = set(range(256)) - members if negated else members
    if chosen <= {ord("/")}:
        raise ValueError("the character class matches nothing")
    return chosen, at + 1
