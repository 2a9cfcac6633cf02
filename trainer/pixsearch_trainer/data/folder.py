"""A folder of photos with their captions beside them: name.txt, or name.jpg.txt, beside name.jpg."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator
from pathlib import Path

from pixsearch.picture_files import starts_like_a_picture
from pixsearch.storage import FilePath, list_folder, path_bytes, read_file
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem, shown


def read_folder(folder: FilePath) -> tuple[list[CaptionedPicture], list[Problem]]:
    """The pictures in a folder and its sub-folders, in the order of their paths, each non-empty line a caption.

    A picture without words is there as well, with no captions, to learn from a teacher. All are of the split train.
    Hidden files and folders are passed over, and so are files that are neither pictures nor called like one.
    """
    pictures: list[CaptionedPicture] = []
    problems: list[Problem] = []
    for names, place in _walk(folder, problems):
        texts = {name for name in names if name.endswith(".txt")}
        used: set[str] = set()
        for name in names:
            if name in texts:
                continue
            file = place / name
            beside = [text for text in (f"{file.stem}.txt", f"{name}.txt") if text in texts]
            if _is_picture(file):
                captions = list(_captions([place / text for text in beside], problems))
                pictures.append(CaptionedPicture(file, tuple(captions)))
                used.update(beside)
            elif beside or (mimetypes.guess_type(name)[0] or "").startswith("image/"):
                problems.append(Problem(file, None, "is no picture that pixsearch reads"))
                used.update(beside)
        problems += [Problem(place / text, None, "has no picture beside it") for text in sorted(texts - used)]
    return pictures, problems


def _walk(folder: FilePath, problems: list[Problem]) -> Iterator[tuple[list[str], FilePath]]:
    """The names of the files in each folder, and the folder. One that cannot be listed is a problem."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            names, folders = _listed(place)
        except OSError as error:
            problems.append(Problem(place, None, f"cannot be listed ({error.strerror})"))
            continue
        yield names, place
        waiting += (place / name for name in reversed(folders))


def _listed(folder: FilePath) -> tuple[list[str], list[str]]:
    """Files and folders in it, by name, without links to folders."""
    names, folders = [], []
    with list_folder(path_bytes(folder)) as entries:
        for entry in entries:
            name = os.fsdecode(entry.name)
            if name.startswith("."):
                continue
            if not entry.is_dir():
                names.append(name)
            elif not (isinstance(entry, os.DirEntry) and entry.is_symlink()):
                folders.append(name)
    return sorted(names), sorted(folders)


def _is_picture(file: FilePath) -> bool:
    if isinstance(file, Path) and not file.is_file():  # a pipe is never opened
        return False
    return starts_like_a_picture(path_bytes(file))


def _captions(texts: list[FilePath], problems: list[Problem]) -> dict[str, None]:
    captions: dict[str, None] = {}
    for text in texts:
        try:
            lines = read_file(text).removeprefix(b"\xef\xbb\xbf").splitlines()
        except OSError as error:
            problems.append(Problem(text, None, f"cannot be read ({error.strerror})"))
            continue
        if not any(line.strip() for line in lines):
            problems.append(Problem(text, None, "has no caption in it"))
        for number, line in enumerate(lines, 1):
            try:
                caption = line.decode().strip()
            except UnicodeDecodeError:
                problems.append(Problem(text, number, "is not UTF-8"))
                continue
            if caption in captions:
                problems.append(Problem(text, number, f"the caption is there twice: {shown(caption)}"))
            elif caption:
                captions[caption] = None
    return captions
