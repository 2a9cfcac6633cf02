"""The folders that pixsearch uses on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs

from pixsearch.errors import PixsearchError

DATABASE_NAME = "library.db"
"""The name of the file that makes a folder a library."""


_URL = re.compile(r".*://|postgres\w*(\+\w*)?:", re.DOTALL)
"""A URL, even without its slashes: a password in it must not appear in messages about paths."""

Location = Path | str
"""The location of a library: its folder, or the URL of a PostgreSQL database, as in SQLAlchemy."""


def library_location(given: str | None = None) -> Location:
    """Return the location given, else that in PIXSEARCH_LIBRARY, else `library` in the user's data folder."""
    named = given or os.environ.get("PIXSEARCH_LIBRARY")
    if not named:
        return data_folder() / "library"
    if _URL.match(named):
        return named
    return Path(os.path.expanduser(named))  # noqa: PTH111 - a Path turns "./~a" into "~a"


def data_folder() -> Path:
    """Return the folder for data that cannot be made again."""
    return _of_user(platformdirs.user_data_path)


def models_folder() -> Path:
    """Return the folder of the user's own checkpoints, one subfolder each."""
    return data_folder() / "models"


def cache_folder() -> Path:
    """Return the folder for data that can be made again. It may be deleted at any time."""
    return _of_user(platformdirs.user_cache_path)


def config_folder() -> Path:
    """Return the folder of the user's settings."""
    return _of_user(platformdirs.user_config_path)


def compiled_folder() -> Path | None:
    """Return the folder of checkpoints compiled for this machine, or None without a home directory."""
    try:
        return cache_folder() / "compiled"
    except PixsearchError:
        return None


def _of_user(folder_of: Callable[..., Path]) -> Path:
    """Return a folder of the user. Raises PixsearchError without a home directory."""
    try:
        return folder_of("pixsearch", appauthor=False)
    except RuntimeError as error:  # in a container, a user need not have an entry in /etc/passwd
        hint = "Set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_CACHE_HOME"
        raise PixsearchError("no home directory", hint) from error
