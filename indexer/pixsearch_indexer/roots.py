"""Choose the folders to index."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence

from pixsearch.errors import PixsearchError, UsageError
from pixsearch.library.library import Library
from pixsearch.paths import is_at_or_below
from pixsearch.storage import FilePath, is_folder, resolved_bytes
from pixsearch_indexer.texts import is_text_file


def chosen_folders(folders: Sequence[FilePath], library: Library | None) -> list[bytes]:
    """Return the real paths of the folders, or all roots if no folders are given.

    Folders inside another given folder are left out. So are text files, even deleted ones if the library contains them.

    Raises UsageError if a folder does not exist and was never indexed, or if there is nothing to index. Raises
    PixsearchError if the storage of a folder cannot be reached.
    """
    roots, texts = ({}, {}) if library is None else (library.roots(), library.text_files())
    of_photos = [path for path in folders if not _is_text(path, texts)]
    if folders and not of_photos:
        return []
    if not (folders or roots or texts):
        raise UsageError("no folders have been indexed yet", "Run: pixsearch index FOLDER")
    chosen: list[bytes] = []
    for path in sorted(map(resolved_bytes, of_photos)) or roots:
        if not (path in roots or _has_photos_below(library, path) or _exists(path)):
            raise UsageError(f"{os.fsdecode(path)} is not a folder", "Specify the folder that contains the photos")
        if not any(is_at_or_below(path, other) for other in chosen):
            chosen.append(path)
    return chosen


def _is_text(path: FilePath, known: Container[bytes]) -> bool:
    return is_text_file(path) or ((resolved := resolved_bytes(path)) in known and not _exists(resolved))


def _has_photos_below(library: Library | None, folder: bytes) -> bool:
    return library is not None and any(path != folder for files in library.known_photos(folder) for path, *_ in files)


def _exists(folder: bytes) -> bool:
    try:
        return is_folder(folder)
    except OSError as error:
        raise PixsearchError(
            f"{os.fsdecode(folder)} cannot be reached: {error.strerror}", "Check the endpoint and the credentials"
        ) from error
