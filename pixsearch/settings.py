"""Where things lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DATABASE_NAME = "library.db"
"""What makes a folder a library."""


def library_folder(given: Path | None = None) -> Path:
    """The library to work on: the one given, else PIXSEARCH_LIBRARY, else `library` in the user's data folder."""
    if given is not None:
        return given.expanduser()
    if named := os.environ.get("PIXSEARCH_LIBRARY"):
        return Path(named).expanduser()
    return platformdirs.user_data_path("pixsearch", appauthor=False) / "library"


def models_folder() -> Path:
    """Where the user's own checkpoints lie, one folder each."""
    return platformdirs.user_data_path("pixsearch", appauthor=False) / "models"


def cache_folder() -> Path:
    """For what can be made again. It may be deleted at any time."""
    return platformdirs.user_cache_path("pixsearch", appauthor=False)


def compiled_folder() -> Path:
    """Where checkpoints lie as they were compiled for this machine."""
    return cache_folder() / "compiled"
