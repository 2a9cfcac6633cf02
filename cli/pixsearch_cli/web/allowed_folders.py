"""The folders that the page may add to the library: those named with `serve --allow-index`, and all below them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from pixsearch.errors import UsageError
from pixsearch.paths import is_at_or_below
from pixsearch.storage import is_remote
from pixsearch_indexer.scan import SYSTEM_FOLDERS, is_derived


@dataclass(frozen=True, slots=True)
class AllowedFolders:
    """The folders named with --allow-index, as absolute paths without symbolic links."""

    paths: tuple[bytes, ...]

    def covers(self, path: bytes) -> bool:
        """Return whether a path without symbolic links is at or below an allowed folder."""
        return any(is_at_or_below(path, allowed) for allowed in self.paths)

    def resolve(self, path: bytes) -> bytes:
        """Return the real path of a folder that may be added.

        The error for a path outside the allowed folders is the same whether or not it exists. Raises HTTPException 403
        and 404.
        """
        if is_remote(path) or b"\0" in path or not path.startswith(b"/"):
            raise HTTPException(403, "only local folders can be added: use an absolute path")
        real = os.path.realpath(path)
        above = next((allowed for allowed in self.paths if is_at_or_below(real, allowed)), None)
        if above is None:
            raise HTTPException(403, "this folder is outside the folders that --allow-index permits")
        inside = os.path.relpath(real, above).split(b"/") if real != above else []
        if any(_is_hidden(name) for name in inside):
            raise HTTPException(
                403, "hidden and system folders can only be added on the command line, with pixsearch index --hidden"
            )
        if not os.path.isdir(real):  # noqa: PTH112 - bytes
            raise HTTPException(404, "no such folder")
        return real

    def subfolders(self, folder: bytes) -> Iterator[bytes]:
        """Yield the names of the subfolders of a resolved folder, without links and hidden folders, in arbitrary order.

        Raises OSError if the folder cannot be listed.
        """
        with os.scandir(folder) as entries:
            for entry in entries:
                if not _is_hidden(entry.name) and not is_derived(folder, entry.name) and _is_real_folder(entry):
                    yield entry.name


def allowed_folders(named: Iterable[str]) -> AllowedFolders:
    """Return the folders named on the command line, resolved. Raises UsageError if one does not exist."""
    return AllowedFolders(tuple(dict.fromkeys(map(_real_folder, named))))


def _real_folder(name: str) -> bytes:
    path = os.path.expanduser(os.fsencode(name))  # noqa: PTH111 - bytes
    if not name or b"\0" in path or is_remote(path) or not os.path.isdir(path):  # noqa: PTH112 - bytes
        raise UsageError(f"--allow-index {name!r} is not a folder on this machine", "Use an existing folder")
    return os.path.realpath(path)


def _is_hidden(name: bytes) -> bool:
    return name.startswith(b".") or name in SYSTEM_FOLDERS


def _is_real_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return False


def is_where_it_was(path: bytes) -> bool:
    """Return whether neither a folder nor any of its parents has been replaced by a link. The folder may be missing."""
    return os.path.realpath(path) == path


def outermost(paths: Sequence[bytes]) -> list[bytes]:
    """Return the paths that are not below another path in the list."""
    return [path for path in paths if not any(other != path and is_at_or_below(path, other) for other in paths)]
