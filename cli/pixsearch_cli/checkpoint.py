"""Which model a command works with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixsearch.library.records import LibraryModel


def checkpoint_for(model: str | None, indexed_with: LibraryModel | None) -> Path:
    """The checkpoint that --model names, else the one that the library was indexed with, else the one that ships.

    Raises ModelNotFound.
    """
    from pixsearch.model.checkpoints import find_checkpoint

    if model is None and indexed_with is not None:
        model = indexed_with.name
    return find_checkpoint(model)
