"""Paths as the library keeps them: absolute, as bytes, since on Linux a file's name need not be valid text."""

from __future__ import annotations


def below(folder: bytes) -> bytes:
    """What the path of everything below a folder starts with."""
    return folder if folder.endswith(b"/") else folder + b"/"


def is_at_or_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(below(folder))


def behind_all_below(folder: bytes) -> bytes:
    """Greater than every path below a folder, and not greater than any other that comes after those."""
    first = below(folder)
    return first[:-1] + bytes([first[-1] + 1])
