"""Read a folder of photos with captions in name.txt or name.jpg.txt next to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pixsearch.captions import Report, caption_files, captions_beside
from pixsearch.picture_files import is_named_like_a_picture, starts_like_a_picture
from pixsearch.storage import FilePath, list_folder, path_bytes
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Malformed, Problem


def read_folder(folder: FilePath) -> tuple[list[CaptionedPicture], list[Problem]]:
    """Return the pictures in a folder and its subfolders, in the order of their paths, and the problems found.

    All pictures are in the train split. Pictures without captions are included because a teacher can use them. Hidden
    files and folders are skipped, as are files that are neither pictures nor named like pictures. Raises Malformed if
    there are no pictures.
    """
    pictures: list[CaptionedPicture] = []
    problems: list[Problem] = []

    def report(file: FilePath, line: int | None, what: str) -> None:
        problems.append(Problem(file, line, what))

    for files in _files_by_folder(folder, report):
        texts = {file for file in files if file.suffix == ".txt"}
        alone = set(texts)
        for file in files:
            is_special = isinstance(file, Path) and not file.is_file()  # a pipe is never opened
            if file not in texts and not is_special and starts_like_a_picture(path_bytes(file)):
                pictures.append(CaptionedPicture(file, tuple(captions_beside(file, texts.__contains__, report))))
            elif is_named_like_a_picture(path_bytes(file)):
                report(file, None, "is not a picture that pixsearch can read")
            else:
                continue
            alone.difference_update(caption_files(file))
        for text in sorted(alone):
            report(text, None, "has no picture next to it")
    if not pictures:
        raise Malformed("the folder contains no pictures")
    return pictures, problems


def _files_by_folder(folder: FilePath, report: Report) -> Iterator[list[FilePath]]:
    """Yield the files in each folder, sorted by name. Links to folders are not followed."""
    try:
        with list_folder(path_bytes(folder)) as listed:
            entries = sorted((entry for entry in listed if entry.name[:1] != b"."), key=lambda entry: entry.name)
        files = [folder / os.fsdecode(entry.name) for entry in entries if not entry.is_dir()]
    except OSError as error:
        report(folder, None, f"cannot be listed ({error.strerror})")
        return
    yield files
    for entry in entries:
        if entry.is_dir() and not (isinstance(entry, os.DirEntry) and entry.is_symlink()):
            yield from _files_by_folder(folder / os.fsdecode(entry.name), report)
