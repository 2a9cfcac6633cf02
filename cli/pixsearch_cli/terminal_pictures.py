"""Small pictures in a terminal: by its own protocol (kitty's, or sixel), or in half blocks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable

from pixsearch.errors import PictureError

_PICTURE_WIDTH, _PICTURE_HEIGHT = 24, 8
"""Size in terminal cells."""


def shows_pictures(wanted: bool | None) -> bool:
    """Return whether hits are shown with small pictures; None is where a terminal shows colours."""
    if wanted is None:
        wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return wanted and not _has_no_size()


def print_with_pictures(rows: Iterable[tuple[Callable[[], bytes] | None, str]]) -> None:
    """Print texts, each with a small picture before it; one without a picture is a heading.

    What reads the bytes of a picture may raise PictureError, whose message takes its place.
    """
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
    """Return whether stdout is a terminal of unknown size, where no picture can be drawn."""
    try:
        return 0 in os.get_terminal_size(sys.stdout.fileno())
    except OSError:  # no terminal
        return False
