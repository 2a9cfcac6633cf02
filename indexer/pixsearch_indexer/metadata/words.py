"""Text as people wrote it, out of what programs stored."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 10_000
"""Characters of one text that are kept; more is no title, caption or keyword."""
MOST_KEYWORDS = 1_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]+")
_NO_CAPTION = re.compile(
    r"(KONICA |MINOLTA |KONICA MINOLTA |OLYMPUS |SAMSUNG |SONY |RICOH )?DIGITAL (STILL )?CAMERA|SONY DSC|Exif_JPEG_\w+"
    r"|DCIM.*|(DSC|IMG|DSCN|DSCF)[_-]?\d+|Created with (The )?GIMP|<KENOX.*>|charset=.*"
    r"|\{\"shape\": \[.*\}|ImageJ=.*",
    re.IGNORECASE,
)
"""What cameras and programs write where a caption belongs."""


def clean_text(value: object) -> str | None:
    """Return one line of text; None where there is none. Bytes are UTF-8, else Latin-1, and end at their first NUL."""
    if isinstance(value, bytes):
        value = decoded(value)
    if not isinstance(value, str):
        return None
    text = value.partition("\0")[0][: 4 * LONGEST]
    text = text.encode(errors="replace").decode()  # of JSON, which may hold half a surrogate pair
    return " ".join(_CONTROL.sub(" ", text).split())[:LONGEST].rstrip() or None


def clean_caption(value: object) -> str | None:
    """Return a text as `clean_text` does; None where a camera wrote it by itself."""
    text = clean_text(value)
    return None if text is None or _NO_CAPTION.fullmatch(text) else text


def clean_list(values: Iterable[object]) -> tuple[str, ...]:
    """Return each text once, in their order; one whose accents are stored apart is the same text."""
    texts: dict[str, str] = {}
    for text in filter(None, map(clean_text, values)):
        texts.setdefault(unicodedata.normalize("NFC", text), text)
    return tuple(texts.values())[:MOST_KEYWORDS]


def decoded(data: bytes) -> str:
    """Return bytes as text: UTF-8, else Latin-1, up to the first NUL."""
    data = data.partition(b"\0")[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def last_part(path: object, separators: str) -> str:
    """Return the last part of a hierarchical keyword, as in Places|Greece|Crete."""
    return re.split(f"[{re.escape(separators)}]", str(path).rstrip(separators))[-1]
