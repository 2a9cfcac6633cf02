"""Captions in text files next to photos, one caption per line: photo.txt or photo.jpg.txt for photo.jpg."""

from __future__ import annotations

from collections.abc import Callable

from pixsearch.storage import FilePath, read_head

LIMIT_BYTES = 1 << 16
"""The maximum number of bytes to read from a file, since it may be unrelated text that is named like a photo."""

Report = Callable[[FilePath, int | None, str], None]
"""A callback for problems. Its arguments are the file, the line number (None for the whole file) and the problem."""


def caption_files(photo: FilePath) -> list[FilePath]:
    """Return the paths of the possible caption files for a photo, in reading order."""
    return [photo.with_name(name) for name in dict.fromkeys((f"{photo.stem}.txt", f"{photo.name}.txt"))]


def captions_beside(photo: FilePath, exists: Callable[[FilePath], bool], report: Report | None = None) -> list[str]:
    """Return the distinct captions in the text files next to a photo. The files are UTF-8, optionally with a BOM.

    Args:
        photo: the path of the photo.
        exists: a function that returns whether a file exists. If it raises OSError, the error is reported.
        report: called for each problem; the affected line or file is skipped. If None, nothing is reported, and
            lines with invalid UTF-8 are kept, with U+FFFD in place of the invalid bytes.
    """
    problem = report or _ignore
    captions: dict[str, None] = {}
    for file in caption_files(photo):
        try:
            if not exists(file):
                continue
            content = read_head(file, LIMIT_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
        except OSError as error:
            problem(file, None, f"cannot be read ({error.strerror})")
            continue
        if len(content) > LIMIT_BYTES:
            problem(file, None, f"is larger than {LIMIT_BYTES >> 10} KiB; the rest is ignored")
            content = content[:LIMIT_BYTES].rpartition(b"\n")[0]
        if not content.strip():
            problem(file, None, "has no captions")
        for number, line in enumerate(content.splitlines(), 1):
            try:
                caption = line.decode(errors="strict" if report else "replace").strip()
            except UnicodeDecodeError:
                problem(file, number, "is not UTF-8")
                continue
            if caption in captions:
                problem(file, number, "repeats an earlier caption")
            elif caption:
                captions[caption] = None
    return list(captions)


def _ignore(_file: FilePath, _line: int | None, _what: str) -> None:
    pass
