"""From what stands on the command line to the parts of a query."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pixsearch.errors import PictureError, UsageError
from pixsearch.picture_files import is_named_like_a_picture
from pixsearch.search.query import Picture, Words
from pixsearch.storage import to_path

_WEIGHTED = re.compile(r"(\d+\.?\d*|\.\d+):(.+)", re.DOTALL)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_DOWNLOAD_LIMIT_BYTES = 200 << 20
_DOWNLOAD_TIMEOUT_S = 30


def other_parts(
    image: str | None, plus: Sequence[str], minus: Sequence[str], allow_network: bool
) -> tuple[Words | Picture, ...]:
    """All but the words that a query begins with. Raises UsageError, PictureError."""
    pictures = [] if image is None else [_picture(image, 1.0, allow_network)]
    added = [_part(operand, 1.0, allow_network) for operand in plus]
    return (*pictures, *added, *(_part(operand, -1.0, allow_network) for operand in minus))


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
    if source == "-":
        return Picture(sys.stdin.buffer.read(), weight)
    if _ADDRESS.match(source):
        if not allow_network:
            raise UsageError(f"{source} is on the network", "Let it be fetched with --allow-network")
        return Picture(_download(source), weight)
    return Picture(to_path(source), weight)


def _download(address: str) -> bytes:
    """Raises PictureError."""
    from urllib.error import URLError  # 20 ms, for those who ask by an address
    from urllib.request import Request, urlopen

    try:
        with urlopen(Request(address, headers={"User-Agent": "pixsearch"}), timeout=_DOWNLOAD_TIMEOUT_S) as answer:
            data: bytes = answer.read(_DOWNLOAD_LIMIT_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise PictureError(f"{address} cannot be fetched: {reason}") from error
    if len(data) > _DOWNLOAD_LIMIT_BYTES:
        raise PictureError(f"{address} is larger than {_DOWNLOAD_LIMIT_BYTES >> 20} MiB")
    return data


def _is_file(operand: str) -> bool:
    try:
        return Path(operand).is_file()
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False
