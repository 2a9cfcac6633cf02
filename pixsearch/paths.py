"""Paths as the library stores them: absolute, as bytes, since on Linux a file's name need not be valid text."""

from __future__ import annotations


def below(folder: bytes) -> bytes:
    """Return the prefix of all paths below a folder."""
    return folder if folder.endswith(b"/") else folder + b"/"


def is_at_or_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(below(folder))


def prefix_upper_bound(folder: bytes) -> bytes:
    """Return the smallest bytes that are greater than every path below a folder."""
    first = below(folder)
    return first[:-1] + bytes([first[-1] + 1])
