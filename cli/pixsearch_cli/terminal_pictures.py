"""Shows small pictures in a terminal, with its graphics protocol (kitty or sixel) or as half blocks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable

from pixsearch.errors import PictureError

_PICTURE_WIDTH, _PICTURE_HEIGHT = 24, 8
"""Size in terminal cells."""


def shows_pictures(wanted: bool | None) -> bool:
    """Return whether to show small pictures. If `wanted` is None, show them on a terminal unless NO_COLOR is set."""
    if wanted is None:
        wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return wanted and not _has_no_size()


def print_with_pictures(rows: Iterable[tuple[Callable[[], bytes] | None, str]]) -> None:
    """Print texts, each next to its small picture. A text without a picture is a heading.

    If reading the bytes of a picture raises PictureError, the message is shown instead.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # The user does not need to know that the terminal did not respond.
    logging.getLogger("textual_image").setLevel(logging.CRITICAL)
    from textual_image.renderable import Image as TerminalImage  # asks the terminal what it can do

    from pixsearch.pictures import open_picture

    table = Table(box=None, show_header=False)
    table.add_column(width=_PICTURE_WIDTH)
    table.add_column(overflow="fold")
    for read, text in rows:
        if read is None:
            table.add_row(Text(text, style="dim"))
            continue
        try:
            small = open_picture(read(), min_edge=160)
            small.thumbnail((480, 320))
            picture: object = TerminalImage(small, width="auto", height=_PICTURE_HEIGHT)
        except PictureError as error:
            picture = Text(error.message, style="dim")
        table.add_row(picture, Text(text))  # type: ignore[arg-type]
    Console(highlight=False).print(table)


def _has_no_size() -> bool:
    """Return whether stdout is a terminal of unknown size, on which pictures cannot be drawn."""
    try:
        return 0 in os.get_terminal_size(sys.stdout.fileno())
    except OSError:  # no terminal
        return False
