"""How the hits of a query are shown, and what else can be done with them."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from pixsearch.errors import PictureError, PixsearchError
from pixsearch.printable import printable
from pixsearch.search.hits import percent
from pixsearch.storage import FilePath, may_exist, open_file, path_bytes
from pixsearch_cli.json_records import hit_record, text_hit_record
from pixsearch_cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from pixsearch import Hit, TextHit

_PICTURE_WIDTH, _PICTURE_HEIGHT = 24, 8
"""In cells of the terminal."""
LESS_LIKELY = "less likely:"


def print_json_lines(hits: Sequence[Hit], query: str | None, unknown_words: Sequence[str]) -> None:
    """With the query in front where there are several."""
    for hit in hits:
        line = ({} if query is None else {"query": query}) | hit_record(hit)
        print_json(line | {"unknown_words": unknown_words})


def never_taught(words: Sequence[str]) -> str:
    """Say which words of a query the model was never taught."""
    quoted = [f'"{word}"' for word in words]
    return f"the model was never taught {' or '.join(filter(None, [', '.join(quoted[:-1]), quoted[-1]]))}"


def print_paths(hits: Sequence[Hit], end: bytes) -> None:
    """The paths as the bytes that they are, for other programs."""
    sys.stdout.flush()
    for hit in hits:
        sys.stdout.buffer.write(path_bytes(hit.path) + end)
    sys.stdout.buffer.flush()


def print_hits(hits: Sequence[Hit], pictures: bool | None) -> None:
    """For people: a table, or small pictures with their figures; None is pictures where a terminal shows colours."""
    if pictures is None:
        pictures = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if pictures and not _has_no_size():
        _print_pictures(hits)
    else:
        print_table(*_table(hits), LESS_LIKELY, first_less_likely(hits))


def first_less_likely(hits: Sequence[Hit | TextHit]) -> int | None:
    """The index of the first hit that is not likely, as are all behind it; None where there is none."""
    return next((index for index, hit in enumerate(hits) if hit.likely is False), None)


def print_text_hits(hits: Sequence[TextHit], as_json: bool) -> None:
    if as_json:
        for hit in hits:
            print_json(text_hit_record(hit))
        return
    headings = ["rank", "match", "similarity", "text"]
    rows = [
        [str(hit.rank), _match(hit), f"{hit.similarity:.3f} ({hit.similarity_rank})", f"{hit.text}  {_standing(hit)}"]
        for hit in hits
    ]
    print_table(headings, rows, LESS_LIKELY, first_less_likely(hits))


def open_best(hits: Sequence[Hit]) -> None:
    """In the system's own viewer. Raises PixsearchError where there is nothing to open, or nothing to open it with."""
    if not may_exist(hits[0].path):
        raise PixsearchError(f"{hits[0].path} is not there", "Is its drive plugged in? Else run: pixsearch index")
    if typer.launch(str(hits[0].path)) != 0:
        raise PixsearchError(f"{hits[0].path} could not be opened", "There may be no viewer for it on this machine")


def copy_hits(hits: Sequence[Hit], folder: Path) -> None:
    """Copy the photos into a folder, numbered by rank. Nothing there is overwritten.

    Of a photo that is not there another with the same content is copied. Raises PixsearchError where photos could not
    be copied, when all others are; OSError where the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copied = sum(_copy_first((hit.path, *hit.copies), folder, hit.rank) for hit in hits)
    say(f"{copied} {'photo' if copied == 1 else 'photos'} copied to {folder}")
    if copied < len(hits):
        raise PixsearchError(
            f"{len(hits) - copied} of {len(hits)} photos could not be copied",
            "Are all drives plugged in? Else run: pixsearch index",
        )


def _copy_first(paths: Sequence[FilePath], folder: Path, rank: int) -> bool:
    """Copy the first of these that can be read; says why where none can."""
    reason = ""
    for path in paths:
        try:
            with open_file(path) as original:
                _copy(original, path, folder, f"{rank:03}-{path.stem}")
            return True
        except FileNotFoundError:
            reason = reason or f"{path} is not there and was not copied"
        except (PermissionError, IsADirectoryError) as error:
            reason = reason or f"{path} cannot be read and was not copied: {error.strerror}"
    say(reason)
    return False


def _copy(original: BinaryIO, source: FilePath, folder: Path, stem: str) -> None:
    for number in count(1):
        target = folder / f"{stem}{'' if number == 1 else f'-{number}'}{source.suffix}"
        try:
            with target.open("xb") as copy:
                shutil.copyfileobj(original, copy)
        except FileExistsError:
            continue
        if isinstance(source, Path):
            shutil.copystat(source, target)
        return


def _table(hits: Sequence[Hit]) -> tuple[list[str], list[list[str]]]:
    headings = ["rank", "match", "similarity", "photo"]
    rows = [[str(hit.rank), _match(hit), f"{hit.similarity:.3f} ({hit.similarity_rank})", _photo(hit)] for hit in hits]
    if not any(_match(hit) for hit in hits):
        return [headings[0], *headings[2:]], [[row[0], *row[2:]] for row in rows]
    return headings, rows


def _print_pictures(hits: Sequence[Hit]) -> None:
    """By the terminal's own protocol (kitty's, or sixel), or in half blocks."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A terminal that does not answer is no news to the user.
    logging.getLogger("textual_image").setLevel(logging.CRITICAL)
    from textual_image.renderable import Image as TerminalImage  # asks the terminal what it can do

    from pixsearch.pictures import open_picture

    table = Table(box=None, show_header=False)
    table.add_column(width=_PICTURE_WIDTH)
    table.add_column(overflow="fold")
    less_likely = first_less_likely(hits)
    for index, hit in enumerate(hits):
        if index == less_likely:
            table.add_row(Text(LESS_LIKELY, style="dim"))
        figures = [f"{hit.rank}", *filter(None, [_match(hit) and f"match {_match(hit)}"])]
        figures.append(f"similarity {hit.similarity:.3f} ({hit.similarity_rank})")
        taken_at = hit.metadata.taken_at
        lines = ["  ".join(figures), printable(_photo(hit)), f"{taken_at:%Y-%m-%d %H:%M}" if taken_at else ""]
        try:
            small = open_picture(hit.path, min_edge=160)
            small.thumbnail((480, 320))
            picture: object = TerminalImage(small, width="auto", height=_PICTURE_HEIGHT)
        except PictureError as error:
            picture = Text(error.message, style="dim")
        table.add_row(picture, Text("\n".join(lines)))  # type: ignore[arg-type]
    Console(highlight=False).print(table)


def _standing(hit: TextHit) -> str:
    """Where a text stands, in brackets."""
    first = hit.sources[0]
    more = f" and {len(hit.sources) - 1} more" if len(hit.sources) > 1 else ""
    return f"({first.path}{'' if first.line is None else f':{first.line}'}{more})"


def _has_no_size() -> bool:
    """Whether stdout is a terminal that does not know how large it is, where no picture can be drawn."""
    try:
        return 0 in os.get_terminal_size(sys.stdout.fileno())
    except OSError:  # no terminal
        return False


def _match(hit: Hit | TextHit) -> str:
    if hit.probability is not None:
        return percent(hit.probability)
    return "" if hit.match is None else f"{hit.match:.2f}"


def _photo(hit: Hit) -> str:
    more = []
    if hit.copies:
        more.append(f"{len(hit.copies)} {'copy' if len(hit.copies) == 1 else 'copies'}")
    if hit.similar:
        more.append(f"{len(hit.similar)} alike")
    return f"{hit.path} (and {', '.join(more)})" if more else str(hit.path)
