"""The permissions of a library's folder: private to its owner, unless the owner shares it."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from pixsearch.settings import DATABASE_NAME

_FOLDER, _FILE = 0o700, 0o600
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def make_private_folder(folder: Path) -> None:
    """Create a folder and its parents, private to the owner; an existing one keeps its mode. Raises OSError."""
    folder.mkdir(mode=_FOLDER, parents=True, exist_ok=True)


def mode_of_files(folder: Path) -> int:
    """Return the mode of a new file in a library's folder: that of library.db, so that all files are shared alike.

    Without a library.db, the file is private to its owner.
    """
    try:
        return stat.S_IMODE((folder / DATABASE_NAME).stat().st_mode) & 0o666
    except OSError:
        return _FILE


def open_to_others(folder: Path) -> list[str]:
    """Return a line about other users who may read a library or write to its folder, or nothing if none may."""
    try:
        of_folder = stat.S_IMODE(folder.stat().st_mode)
        of_files = stat.S_IMODE((folder / DATABASE_NAME).stat().st_mode)
    except OSError:  # a library in PostgreSQL, which has its own permissions
        return []
    if not ((of_folder & _OTHERS and of_files & _OTHERS) or of_folder & _OTHERS_WRITE):
        return []
    return [
        f"other users of this machine may open the library {folder}; to make it private, run: "
        f"chmod -R go= {shlex.quote(str(folder))}"
    ]
