"""Tables of pictures and captions, between commas, tabs, semicolons or bars."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pixsearch_trainer.data.gathering import Gathering

PICTURE_COLUMNS = (
    "image_path",
    "filepath",
    "file_path",
    "file_name",
    "filename",
    "image_name",
    "path",
    "image",
    "img",
    "photo",
    "picture",
)
"""What people call the picture's column; of two, the earlier here, as a plain `image` may be a number beside a path."""

CAPTION_COLUMNS = ("caption", "captions", "text", "sentence", "sentences", "description", "comment", "title")
SPLIT_COLUMN = "split"

_DELIMITERS = "\t,;|"
_OFTEN_UNQUOTED = "\t|"
"""Between these, many tables are written with no quoting at all: a quote that does not close is part of the caption."""

_QUOTED_LINES = 64
"""A quoted field spans no more lines: one stray quote must not swallow the rest of a file."""

_PICTURE_NAME = re.compile(r".+\.\w{2,5}(#\d+)?")
_CAPTION_NUMBER = re.compile(r"(?<=\w)#\d+$")
_SAMPLE_LINES = 20
_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Layout:
    """How a table is written: what stands between its columns, and which are which, counted from 0."""

    delimiter: str
    columns: int
    picture: int
    caption: int
    split: int | None = None
    header: bool = True


def find_layout(head: str) -> Layout | None:
    """How the table that starts like this is written; None where it is no table that names pictures and captions.

    Its first line names the columns, or it has no such line and two columns between tabs, a picture's file name and its
    caption, where the name may have the caption's number: `name.jpg#0` (Flickr8k's token file).
    """
    lines = [line for line in _NEWLINE.split(head) if line.strip()][:_SAMPLE_LINES]
    if not lines:
        return None
    for delimiter in _DELIMITERS:
        names = [_plain(name) for name in next(csv.reader([lines[0]], delimiter=delimiter), [])]
        picture = next((names.index(name) for name in PICTURE_COLUMNS if name in names), None)
        caption = next((names.index(name) for name in CAPTION_COLUMNS if name in names), None)
        if picture is not None and caption is not None:
            split = names.index(SPLIT_COLUMN) if SPLIT_COLUMN in names else None
            return Layout(delimiter, len(names), picture, caption, split)
    fitting = sum(line.count("\t") == 1 and bool(_PICTURE_NAME.fullmatch(line.split("\t")[0])) for line in lines)
    return Layout("\t", 2, 0, 1, header=False) if 2 * fitting > len(lines) else None


def gather_table(lines: Iterable[str], layout: Layout, into: Gathering) -> None:
    """Take a table, given as lines with their ends."""
    rows = read_rows(lines, layout.delimiter)
    if layout.header:
        next(rows)
    for number, row in rows:
        if row is None:
            into.report(number, "has a quote that does not close")
        elif len(row) != layout.columns:
            into.report(number, f"has {len(row)} columns, not {layout.columns}")
        else:
            name = row[layout.picture].strip()
            split = None if layout.split is None else row[layout.split]
            into.add(number, name if layout.header else _CAPTION_NUMBER.sub("", name), [row[layout.caption]], split)


def read_rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """The rows of a table, each with the number of its first line; blank lines are passed over.

    None stands for a line whose quotes are not as CSV has them. Between tabs and bars such a line is taken as it is.
    """
    source = _Lines(lines)
    while (line := source.take()) is not None:
        number = source.number
        bare = line.rstrip("\r\n")
        if not bare.strip():
            continue
        row: list[str] | None = bare.split(delimiter)
        if line.startswith('"') or f'{delimiter}"' in line:
            following: list[str] = []
            try:
                row = next(csv.reader(_with_following(line, source, following), delimiter=delimiter, strict=True))
            except csv.Error:
                source.put_back(following)
                row = row if delimiter in _OFTEN_UNQUOTED else None
        yield number, row


class _Lines:
    """Lines that can be put back, and the number of the last one taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.number = 0
        self._source = iter(lines)
        self._waiting: deque[str] = deque()

    def take(self) -> str | None:
        line = self._waiting.popleft() if self._waiting else next(self._source, None)
        self.number += line is not None
        return line

    def put_back(self, lines: list[str]) -> None:
        self._waiting.extendleft(reversed(lines))
        self.number -= len(lines)


def _with_following(line: str, source: _Lines, following: list[str]) -> Iterator[str]:
    """The line, then what follows it as the reader asks for it; that is noted in `following`."""
    yield line
    while len(following) < _QUOTED_LINES and (more := source.take()) is not None:
        following.append(more)
        yield more


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())
