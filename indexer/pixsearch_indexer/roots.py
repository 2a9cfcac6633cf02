"""Which folders a run looks at."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence

from pixsearch.errors import PixsearchError, UsageError
from pixsearch.library.library import Library
from pixsearch.paths import is_at_or_below
from pixsearch.storage import FilePath, is_folder, resolved_bytes
from pixsearch_indexer.texts import is_text_file


def chosen_folders(folders: Sequence[FilePath], library: Library | None) -> list[bytes]:
    """The folders by their real paths, without those that lie in another one of them; all roots if nothing was given.

    Text files among them, and those that the library knows and that are gone, are no folders.
    Raises UsageError for a folder that is not there and was never indexed, and where there is none at all;
    PixsearchError for one in a storage that cannot be asked.
    """
    roots, texts = ({}, {}) if library is None else (library.roots(), library.text_files())
    of_photos = [path for path in folders if not _is_text(path, texts)]
    if folders and not of_photos:
        return []
    if not (folders or roots or texts):
        raise UsageError("the library knows no folder yet", "Name one: pixsearch index FOLDER")
    chosen: list[bytes] = []
    for path in sorted(map(resolved_bytes, of_photos)) or roots:
        if not (path in roots or _has_photos_below(library, path) or _is_there(path)):
            raise UsageError(f"{os.fsdecode(path)} is not a folder", "Give the folder that holds the photos")
        if not any(is_at_or_below(path, other) for other in chosen):
            chosen.append(path)
    return chosen


def _is_text(path: FilePath, known: Container[bytes]) -> bool:
    return is_text_file(path) or ((resolved := resolved_bytes(path)) in known and not _is_there(resolved))


def _has_photos_below(library: Library | None, folder: bytes) -> bool:
    return library is not None and any(path != folder for files in library.known_photos(folder) for path, *_ in files)


def _is_there(folder: bytes) -> bool:
    try:
        return is_folder(folder)
    except OSError as error:
        raise PixsearchError(
            f"{os.fsdecode(folder)} cannot be reached: {error.strerror}", "Are address and credentials of it set?"
        ) from error
