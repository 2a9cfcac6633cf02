"""Text that is safe to print: file names and other data may contain line breaks and escape sequences, and URLs
passwords."""

from __future__ import annotations

import re

_OF_USER = re.compile(
    r"(postgres[\w+]*:/+[^/:]*):.*(?=@)"
    r"|(:/+[^\s/:\[]*)(?<!/arn):(?:[^\s/]*(?=@)|(?!\s|\d+(?:\W|$))(?:.*(?=@)|[^\s/]+))"
)
"""The password in a URL: up to the last @, since it may contain characters that should be escaped, or to the end if
there is no @. The port of a host and Amazon resource names do not match."""
_OF_QUERY = re.compile(r"(?<=[?&])([\w-]*(?:password|passwd|secret|signature)[\w-]*)=[^&\s]*", re.IGNORECASE)
HIDDEN = "***"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun: "1 photo", "2,000 photos", and with `nouns` given "2 copies"."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def printable(text: str) -> str:
    """Return the text in one line, with control and other unprintable characters written as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def without_passwords(text: str) -> str:
    """Return the text with the passwords in its URLs hidden, even those that make a URL invalid."""
    return _OF_QUERY.sub(rf"\1={HIDDEN}", _OF_USER.sub(rf"\1\2:{HIDDEN}", text))
