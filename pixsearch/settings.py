"""The location of the library, and the folders for data, models, caches and settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs

from pixsearch.errors import PixsearchError

DATABASE_NAME = "library.db"
"""The name of the database file in a library folder."""


_URL = re.compile(r".*://|postgres\w*(\+\w*)?:", re.DOTALL)
"""A pattern for database URLs, even malformed ones, so that passwords in them do not appear in messages about paths."""

Location = Path | str
"""The location of a library: a folder, or the SQLAlchemy URL of a PostgreSQL database."""


def library_location(given: str | None = None) -> Location:
    """Return `given`, or else PIXSEARCH_LIBRARY, or else `library` in the user's data folder."""
    named = given or os.environ.get("PIXSEARCH_LIBRARY")
    if not named:
        return data_folder() / "library"
    if _URL.match(named):
        return named
    return Path(os.path.expanduser(named))  # noqa: PTH111 - a Path turns "./~a" into "~a"


def data_folder() -> Path:
    """Return the folder for data that cannot be regenerated."""
    return _of_user(platformdirs.user_data_path)


def models_folder() -> Path:
    """Return the folder for the user's checkpoints. Each is in a subfolder."""
    return data_folder() / "models"


def cache_folder() -> Path:
    """Return the folder for data that can be regenerated. It can be deleted at any time."""
    return _of_user(platformdirs.user_cache_path)


def config_folder() -> Path:
    """Return the folder for the user's settings."""
    return _of_user(platformdirs.user_config_path)


def compiled_folder() -> Path | None:
    """Return the folder for checkpoints compiled for this machine, or None if there is no home directory."""
    try:
        return cache_folder() / "compiled"
    except PixsearchError:
        return None


def _of_user(folder_of: Callable[..., Path]) -> Path:
    """Return a user folder from platformdirs. Raises PixsearchError if there is no home directory."""
    try:
        return folder_of("pixsearch", appauthor=False)
    except RuntimeError as error:  # in a container, a user may have no entry in /etc/passwd
        hint = "Set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_CACHE_HOME"
        raise PixsearchError("no home directory", hint) from error
