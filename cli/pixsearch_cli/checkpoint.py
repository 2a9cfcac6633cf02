"""Which model a command works with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pixsearch.errors import LibraryNotFound


def checkpoint_for(library: Path, model: str | None) -> Path:
    """The checkpoint that --model names, else the one that the library was indexed with, else the one that ships.

    Raises ModelNotFound, LibraryDamaged.
    """
    from pixsearch import Library
    from pixsearch.model.checkpoints import find_checkpoint

    if model is None:
        with suppress(LibraryNotFound), Library.open(library) as opened:
            if (indexed_with := opened.model()) is not None:
                model = indexed_with.name
    return find_checkpoint(model)
