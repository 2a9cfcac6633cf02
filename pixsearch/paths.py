"""Operations on paths as stored in the library: absolute, and as bytes because Linux file names may be invalid text."""

from __future__ import annotations


def below(folder: bytes) -> bytes:
    """Return the prefix that all paths below a folder start with."""
    return folder if folder.endswith(b"/") else folder + b"/"


def is_at_or_below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(below(folder))


def prefix_upper_bound(folder: bytes) -> bytes:
    """Return an exclusive upper bound for the paths below a folder, in byte order."""
    first = below(folder)
    return first[:-1] + bytes([first[-1] + 1])
