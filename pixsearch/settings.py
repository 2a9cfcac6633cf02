"""Where things lie on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import platformdirs

from pixsearch.errors import PixsearchError

DATABASE_NAME = "library.db"
"""What makes a folder a library."""


_URL = re.compile(r".*://|postgres\w*(\+\w*)?:", re.DOTALL)
"""Also one that lacks a slash: a password in it is not to appear in messages about paths."""

Location = Path | str
"""Where a library is: its folder, or the URL of a PostgreSQL database as SQLAlchemy takes it."""


def library_location(given: str | None = None) -> Location:
    """The library to work on: the one given, else PIXSEARCH_LIBRARY, else `library` in the user's data folder."""
    named = given or os.environ.get("PIXSEARCH_LIBRARY")
    if not named:
        return data_folder() / "library"
    if _URL.match(named):
        return named
    return Path(os.path.expanduser(named))  # noqa: PTH111 - a Path forgets what "./~a" says


def data_folder() -> Path:
    """For what the user would miss."""
    return _of_user(platformdirs.user_data_path)


def models_folder() -> Path:
    """Where the user's own checkpoints lie, one folder each."""
    return data_folder() / "models"


def cache_folder() -> Path:
    """For what can be made again. It may be deleted at any time."""
    return _of_user(platformdirs.user_cache_path)


def config_folder() -> Path:
    """For what the user has set."""
    return _of_user(platformdirs.user_config_path)


def compiled_folder() -> Path | None:
    """Where checkpoints lie as they were compiled for this machine; None where there is no place to keep them."""
    try:
        return cache_folder() / "compiled"
    except PixsearchError:
        return None


def _of_user(folder_of: Callable[..., Path]) -> Path:
    """Raises PixsearchError where there is no home directory."""
    try:
        return folder_of("pixsearch", appauthor=False)
    except RuntimeError as error:  # in a container, a user need not have an entry in /etc/passwd
        hint = "Set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME and XDG_CACHE_HOME"
        raise PixsearchError("no home directory", hint) from error
