"""The one way in which pixsearch writes a file that must last, outside SQLite."""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes | memoryview) -> None:
    """Put `data` in place of `path`: afterwards the file is the old one or the new one, never a mixture.

    Temporary file beside it, write, check the count, fsync, rename, fsync of the folder. Raises OSError (a full disk,
    a read-only folder) with the old file untouched. Not guaranteed where the drive lies about fsync. Two writers of
    one path must be kept apart by the caller.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb", buffering=0) as file:
            written = 0
            while written < len(data):
                written += file.write(memoryview(data)[written:])
            os.fsync(file.fileno())
            if os.fstat(file.fileno()).st_size != len(data):
                raise OSError(f"{temporary} is shorter than what was written to it")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
