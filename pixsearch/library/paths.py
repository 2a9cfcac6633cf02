"""Paths as the library keeps them: absolute, as bytes, since on Linux a file's name need not be valid text."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute


def below(folder: bytes) -> bytes:
    """What the path of everything below a folder starts with."""
    return folder if folder.endswith(b"/") else folder + b"/"


def at_or_below(folder: bytes, path: InstrumentedAttribute[bytes]) -> ColumnElement[bool]:
    """As a range, which the index on the path answers (and in which % and _ mean nothing)."""
    first = below(folder)
    behind = first[:-1] + bytes([first[-1] + 1])
    return or_(path == folder, and_(path > first, path < behind))
