"""Who may read a library's folder: its owner alone, unless somebody has given it to others."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from pixsearch.settings import DATABASE_NAME

_FOLDER, _FILE = 0o700, 0o600
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner alone, and those above it; one that is there stays as it is. Raises OSError."""
    folder.mkdir(mode=_FOLDER, parents=True, exist_ok=True)


def mode_of_files(folder: Path) -> int:
    """The permissions of a new file in a library's folder: those of its library.db, so that whoever shares that shares
    all; without one, its owner's alone."""
    try:
        return stat.S_IMODE((folder / DATABASE_NAME).stat().st_mode) & 0o666
    except OSError:
        return _FILE


def open_to_others(folder: Path) -> list[str]:
    """Say, in one line or none, that others than its owner may read a library or write to its folder."""
    try:
        of_folder = stat.S_IMODE(folder.stat().st_mode)
        of_files = stat.S_IMODE((folder / DATABASE_NAME).stat().st_mode)
    except OSError:  # of PostgreSQL, which has its own rights
        return []
    if not ((of_folder & _OTHERS and of_files & _OTHERS) or of_folder & _OTHERS_WRITE):
        return []
    return [
        f"other users of this machine may open the library {folder}; to keep it to yourself: "
        f"chmod -R go= {shlex.quote(str(folder))}"
    ]
