"""Where things lie on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from pixsearch.errors import UsageError

DATABASE_NAME = "library.db"
"""What makes a folder a library."""


Place = Path | str
"""Where a library is: its folder, or the URL of a PostgreSQL database as SQLAlchemy takes it."""


def library_place(given: str | None = None) -> Place:
    """The library to work on: the one given, else PIXSEARCH_LIBRARY, else `library` in the user's data folder."""
    named = given or os.environ.get("PIXSEARCH_LIBRARY")
    if not named:
        return data_folder() / "library"
    return named if "://" in named else Path(named).expanduser()


def data_folder() -> Path:
    """For what the user would miss. Raises UsageError where there is no home folder."""
    try:
        return platformdirs.user_data_path("pixsearch", appauthor=False)
    except RuntimeError as error:
        raise UsageError(
            "there is no home folder, and so no default library and no folder of models",
            "Name the library with --library, the checkpoint by its folder, or set HOME",
        ) from error


def models_folder() -> Path:
    """Where the user's own checkpoints lie, one folder each."""
    return data_folder() / "models"


def cache_folder() -> Path:
    """For what can be made again. It may be deleted at any time. Raises UsageError where there is no home folder."""
    try:
        return platformdirs.user_cache_path("pixsearch", appauthor=False)
    except RuntimeError as error:
        raise UsageError("there is no home folder, and so no cache folder", "Set HOME or XDG_CACHE_HOME") from error


def compiled_folder() -> Path | None:
    """Where checkpoints lie as they were compiled for this machine; None where there is no place to keep them."""
    try:
        return cache_folder() / "compiled"
    except UsageError:
        return None
