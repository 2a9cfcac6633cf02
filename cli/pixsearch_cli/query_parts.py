"""Parses the words, pictures and weights of the command line into the parts of a query."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

from pixsearch.errors import PictureError, UsageError
from pixsearch.picture_files import is_named_like_a_picture
from pixsearch.regular_files import UnsuitableFile, is_opened_by_shell, read_argument, read_stream
from pixsearch.search.query import Picture, Words
from pixsearch.storage import to_path

_WEIGHTED = re.compile(r"(\d+\.?\d*|\.\d+):(.+)", re.DOTALL)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_LIMIT_BYTES = 200 << 20
_DOWNLOAD_TIMEOUT_S = 30
_AS_IN_BROWSERS = "%/:=&?~#+!$,;'@()*[]"
"""Characters of a URL that are not escaped; spaces and non-ASCII letters are."""


def other_parts(
    image: str | None, plus: Sequence[str], minus: Sequence[str], allow_network: bool
) -> tuple[Words | Picture, ...]:
    """All but the words that a query begins with. Raises UsageError, PictureError."""
    pictures = [] if image is None else [_picture(image, 1.0, allow_network)]
    added = [_part(operand, 1.0, allow_network) for operand in plus]
    return (*pictures, *added, *(_part(operand, -1.0, allow_network) for operand in minus))


def is_picture(words: str) -> bool:
    """Return whether the words are the name of an existing picture file."""
    return is_named_like_a_picture(os.fsencode(words)) and _is_file(words)


def split_weight(operand: str) -> tuple[float, str]:
    """The weight in front of an operand, as in `0.5:people`, and what stands behind it; else 1 and all of it."""
    if weighted := _WEIGHTED.fullmatch(operand):
        return float(weighted[1]), weighted[2]
    return 1.0, operand


def _part(operand: str, sign: float, allow_network: bool) -> Words | Picture:
    """An operand of --plus or --minus: a picture if it is called like one or is there as a file, else words."""
    weight, operand = split_weight(operand)
    weight *= sign
    if _ADDRESS.match(operand) or is_named_like_a_picture(os.fsencode(operand)) or _is_file(operand):
        return _picture(operand, weight, allow_network)
    return Words(operand, weight)


def _picture(source: str, weight: float, allow_network: bool) -> Picture:
    if source == "-" or is_opened_by_shell(source):
        try:
            if source != "-":
                return Picture(read_argument(source, _LIMIT_BYTES), weight)
            return Picture(read_stream(sys.stdin.buffer, _LIMIT_BYTES, source), weight)
        except OSError as error:
            name = "what comes by standard input" if source == "-" else source
            raise PictureError(f"{name} cannot be read: {error.strerror}") from error
    if _ADDRESS.match(source):
        if not allow_network:
            raise UsageError(f"{source} is a URL", "Allow downloading it with --allow-network")
        if "@" in re.split("[/?#]", source.partition("://")[2])[0]:
            raise UsageError(
                f"{source} contains a user name", "Download it with another program and pipe it to --image -"
            )
        return Picture(_download(source), weight)
    return Picture(to_path(source), weight)


def _download(address: str) -> bytes:
    """Raises PictureError."""
    answers: SimpleQueue[bytes | PictureError] = SimpleQueue()
    # A thread, since the limits of a socket are for each wait alone: a server may send a byte now and then for hours.
    Thread(target=lambda: answers.put(_fetched(address)), daemon=True).start()
    try:
        answer = answers.get(timeout=_DOWNLOAD_TIMEOUT_S)
    except Empty:
        raise PictureError(f"{address} cannot be downloaded: it takes longer than {_DOWNLOAD_TIMEOUT_S} s") from None
    if isinstance(answer, PictureError):
        raise answer
    return answer


def _fetched(address: str) -> bytes | PictureError:
    from http.client import HTTPException  # 20 ms, for those who ask by an address
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    try:
        request = Request(quote(address, _AS_IN_BROWSERS), headers={"User-Agent": "pixsearch"})
        with urlopen(request, timeout=_DOWNLOAD_TIMEOUT_S) as answer:
            data = read_stream(answer, _LIMIT_BYTES, address)
            missing = answer.length
    except UnsuitableFile as error:
        return PictureError(f"{address} is {error.strerror}")
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        return PictureError(f"{address} cannot be downloaded: {reason}")
    if missing:
        return PictureError(f"{address} cannot be downloaded: {missing:,} bytes are missing")
    return data


def _is_file(operand: str) -> bool:
    try:
        return Path(operand).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False
