"""Text that is safe to print: file names and other people's data may hold line breaks and escape sequences."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text in one line, with each character that a terminal would obey or cannot show written as escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
