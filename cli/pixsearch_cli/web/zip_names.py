"""Names for the files in a zip, so that every operating system can unpack them into one folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_BYTES = 200
"""The maximum length of a name in UTF-8 bytes. File systems allow 255, and some tools append to a name."""
_LONGEST_SUFFIX = 20

_RESERVED_SIGNS = re.compile(r'[<>:"/\\|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
"""Names that Windows reserves for devices, with any extension."""
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of characters that file managers do not show, or that change the display of a name: a character
that reverses the text direction can disguise the suffix."""


class ZipNames:
    """Gives every file in a zip a unique name, even on file systems that ignore case."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(map(_key, taken))
        self._last_number: dict[str, int] = {}

    def name(self, wanted: str) -> str:
        """Return the name if it is safe and not taken, or else a similar one."""
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
    """Return the name in NFC, without characters that Windows, macOS or Linux do not allow in file names."""
    text = unicodedata.normalize("NFC", name.encode(errors="replace").decode())
    text = "".join("_" if unicodedata.category(char) in _UNSEEN else char for char in text)
    text = _RESERVED_SIGNS.sub("_", text).strip().rstrip(". ")
    if text.startswith(".") and not name.startswith("."):  # the file would be hidden
        text = f"photo{text}"
    if _DEVICES.match(text):
        text = f"_{text}"
    stem, suffix = _parts(text or "photo")
    return _shortened(stem, suffix)


def _parts(name: str) -> tuple[str, str]:
    """Split a name before its suffix. If it has none, return the whole name and an empty string."""
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix) > _LONGEST_SUFFIX:
        return name, ""
    return stem, f"{dot}{suffix}"


def _shortened(stem: str, end: str) -> str:
    """Return the stem, shortened if necessary, followed by the end."""
    room = LONGEST_BYTES - len(end.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return stem + end


def _key(name: str) -> str:
    """Return a key that is equal for names that file systems treat as the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
