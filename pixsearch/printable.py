"""Text that is safe to print, without line breaks, escape sequences or passwords."""

from __future__ import annotations

import re

_OF_USER = re.compile(
    r"(postgres[\w+]*:/+[^/:]*):.*(?=@)"
    r"|(:/+[^\s/:\[]*)(?<!/arn):(?:[^\s/]*(?=@)|(?!\s|\d+(?:\W|$))(?:.*(?=@)|[^\s/]+))"
)
"""A pattern for passwords in URLs. Ports and Amazon resource names do not match.

A password extends to the last @, because it may contain characters that should have been escaped, or to the end of the
URL if there is no @."""
_OF_QUERY = re.compile(r"(?<=[?&])([\w-]*(?:password|passwd|secret|signature)[\w-]*)=[^&\s]*", re.IGNORECASE)
HIDDEN = "***"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count followed by a noun: "1 photo", "2,000 photos", or "2 copies" if `nouns` is "copies"."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def printable(text: str) -> str:
    """Return the text on a single line, with control and other unprintable characters escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def without_passwords(text: str) -> str:
    """Return the text with passwords in URLs hidden, even if they make the URL invalid."""
    return _OF_QUERY.sub(rf"\1={HIDDEN}", _OF_USER.sub(rf"\1\2:{HIDDEN}", text))
