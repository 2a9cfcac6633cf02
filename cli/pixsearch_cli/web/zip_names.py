"""Names of files in a zip, which every system can unpack beside each other."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_BYTES = 200
"""Bytes in UTF-8; file systems allow 255, and some tools append to a name."""
_LONGEST_SUFFIX = 20

_RESERVED_SIGNS = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
"""Names that Windows takes for devices, with any extension."""
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of characters that file managers do not show, or obey: that which turns the direction of writing
hides what a name ends with."""


class ZipNames:
    """Gives every file of a zip a name of its own, also where upper and lower case are the same."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(map(_key, taken))
        self._last_number: dict[str, int] = {}

    def name(self, wanted: str) -> str:
        """Return the name as it is where it is free and safe, else one that is like it."""
        stem, suffix = _parts(safe_name(wanted))
        name = stem + suffix
        key, number = _key(name), 1
        if key in self._taken:
            number = self._last_number.get(key, 1)
            while _key(name) in self._taken:
                number += 1
                name = _shortened(stem, f" ({number}){suffix}")
            self._last_number[key] = number
        self._taken.add(_key(name))
        return name


def safe_name(name: str) -> str:
    """Return the name in NFC, without what Windows, macOS or Linux cannot have in the name of a file."""
    text = unicodedata.normalize("NFC", name.encode(errors="replace").decode())
    text = "".join("_" if unicodedata.category(char) in _UNSEEN else char for char in text)
    text = _RESERVED_SIGNS.sub("_", text).strip().rstrip(". ")
    if text.startswith(".") and not name.startswith("."):  # it would be hidden
        text = f"photo{text}"
    if _DEVICES.match(text):
        text = f"_{text}"
    stem, suffix = _parts(text or "photo")
    return _shortened(stem, suffix)


def _parts(name: str) -> tuple[str, str]:
    """Return what stands before the last dot, and the rest; all of it where that is no suffix."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix) > _LONGEST_SUFFIX:
        return name, ""
    return stem, f"{dot}{suffix}"


def _shortened(stem: str, end: str) -> str:
    """Return both together, with no more of the stem than there is room for."""
    room = LONGEST_BYTES - len(end.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return stem + end


def _key(name: str) -> str:
    """Return what two names have in common that file systems take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
