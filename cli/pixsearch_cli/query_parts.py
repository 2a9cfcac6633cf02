"""Parses the words, pictures and weights on the command line into the parts of a query."""

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
    """Return the parts of a query other than the WORDS argument. Raises UsageError, PictureError."""
    pictures = [] if image is None else [_picture(image, 1.0, allow_network)]
    added = [_part(operand, 1.0, allow_network) for operand in plus]
    return (*pictures, *added, *(_part(operand, -1.0, allow_network) for operand in minus))


def is_picture(words: str) -> bool:
    """Return whether the words are the name of an existing picture file."""
    return is_named_like_a_picture(os.fsencode(words)) and _is_file(words)


def split_weight(operand: str) -> tuple[float, str]:
    """Return the weight prefix of an operand, as in `0.5:people`, and the rest. Without a prefix, the weight is 1."""
    if weighted := _WEIGHTED.fullmatch(operand):
        return float(weighted[1]), weighted[2]
    return 1.0, operand


def _part(operand: str, sign: float, allow_network: bool) -> Words | Picture:
    """Return an operand of --plus or --minus as a part of a query.

    It is a picture if it is a URL, is named like a picture, or is an existing file. Otherwise, it is words.
    """
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
            name = "standard input" if source == "-" else source
            raise PictureError(f"{name} cannot be read: {error.strerror}") from error
    if _ADDRESS.match(source):
        if not allow_network:
            raise UsageError(f"{source} is a URL", "Add --allow-network to download it")
        if "@" in re.split("[/?#]", source.partition("://")[2])[0]:
            raise UsageError(
                f"{source} contains a user name", "Download it with another program and pipe it to --image -"
            )
        return Picture(_download(source), weight)
    return Picture(to_path(source), weight)


def _download(address: str) -> bytes:
    """Return the contents of a URL. Raises PictureError."""
    answers: SimpleQueue[bytes | PictureError] = SimpleQueue()
    # A socket's timeout applies to each wait separately, so a server could send single bytes for hours. The thread
    # makes it possible to limit the total time.
    Thread(target=lambda: answers.put(_fetched(address)), daemon=True).start()
    try:
        answer = answers.get(timeout=_DOWNLOAD_TIMEOUT_S)
    except Empty:
        raise PictureError(f"{address} cannot be downloaded: timed out after {_DOWNLOAD_TIMEOUT_S} s") from None
    if isinstance(answer, PictureError):
        raise answer
    return answer


def _fetched(address: str) -> bytes | PictureError:
    from http.client import HTTPException  # takes 20 ms to import, and only URLs need it
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
    except (OSError, ValueError):  # too long for a file name, or contains NUL
        return False
