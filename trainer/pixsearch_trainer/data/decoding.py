"""Whether picture files can be decoded. Worker processes import this module, so that they need not load torch."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from pixsearch.errors import PictureError
from pixsearch.pictures import open_picture
from pixsearch.storage import FilePath

_SHORTEST_EDGE = 64
"""Pixels: a JPEG is decoded at an eighth where that leaves so many, which still reads all of its file."""


def find_faults(files: Sequence[FilePath]) -> list[str | None]:
    """Decode pictures; for each, what is wrong with it, or None."""
    return [_fault(file) for file in files]


def leave_interrupts_to_parent() -> None:
    """For a worker process: Ctrl-C reaches every process of a terminal, and the parent ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _fault(file: FilePath) -> str | None:
    try:
        open_picture(file, _SHORTEST_EDGE)
    except PictureError as error:
        return str(error)
    return None
