"""The captions in text files beside photos: photo.txt or photo.jpg.txt, one caption per line."""

from __future__ import annotations

from collections.abc import Callable

from pixsearch.storage import FilePath, read_head

LIMIT_BYTES = 1 << 16
"""The most bytes read from a file: it may be any text that happens to be named like a photo."""

Report = Callable[[FilePath, int | None, str], None]
"""A function that is called with a file, a line from 1 or None for the whole file, and what is wrong there."""


def caption_files(photo: FilePath) -> list[FilePath]:
    """Return the one or two paths where the captions of a photo may be, in the order in which they are read."""
    return [photo.with_name(name) for name in dict.fromkeys((f"{photo.stem}.txt", f"{photo.name}.txt"))]


def captions_beside(photo: FilePath, exists: Callable[[FilePath], bool], report: Report | None = None) -> list[str]:
    """Return the distinct captions in the text files beside a photo, in UTF-8 with or without a byte order mark.

    Args:
        photo: the path of the photo.
        exists: returns whether a file exists; an OSError that it raises is reported.
        report: called for each problem; the line or file with the problem is left out. Without it, nothing is reported,
            and a line that is not UTF-8 is kept, with U+FFFD for its invalid bytes.
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
