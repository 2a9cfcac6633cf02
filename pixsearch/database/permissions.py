"""Permissions of library folders, which are private unless the owner shares them."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from pixsearch.settings import DATABASE_NAME

_FOLDER, _FILE = 0o700, 0o600
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def make_private_folder(folder: Path) -> None:
    """Create a folder and any missing parents, accessible only to the owner.

    An existing folder keeps its permissions. Raises OSError.
    """
    folder.mkdir(mode=_FOLDER, parents=True, exist_ok=True)


def mode_of_files(folder: Path) -> int:
    """Return the mode for a new file in a library folder.

    This is the mode of library.db, so that all files are shared in the same way. If there is no library.db, only the
    owner has access.
    """
    try:
        return stat.S_IMODE((folder / DATABASE_NAME).stat().st_mode) & 0o666
    except OSError:
        return _FILE


def open_to_others(folder: Path) -> list[str]:
    """Return a warning if other users can read a library or write to its folder, otherwise an empty list."""
    try:
        of_folder = stat.S_IMODE(folder.stat().st_mode)
        of_files = stat.S_IMODE((folder / DATABASE_NAME).stat().st_mode)
    except OSError:  # the library is in PostgreSQL, which has its own permissions
        return []
    if not ((of_folder & _OTHERS and of_files & _OTHERS) or of_folder & _OTHERS_WRITE):
        return []
    return [
        f"other users on this machine can access the library {folder}; to make it private, run: "
        f"chmod -R go= {shlex.quote(str(folder))}"
    ]
