"""Clean up text: keep what people wrote, and drop what programs added."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 10_000
"""The length in characters to which text is truncated. No real title, caption or keyword is longer."""
MOST_KEYWORDS = 1_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]+")
_NO_CAPTION = re.compile(
    r"(KONICA |MINOLTA |KONICA MINOLTA |OLYMPUS |SAMSUNG |SONY |RICOH )?DIGITAL (STILL )?CAMERA|SONY DSC|Exif_JPEG_\w+"
    r"|DCIM.*|(DSC|IMG|DSCN|DSCF)[_-]?\d+|Created with (The )?GIMP|<KENOX.*>|charset=.*"
    r"|\{\"shape\": \[.*\}|ImageJ=.*",
    re.IGNORECASE,
)
"""Text that cameras and programs write in place of a caption."""


def clean_text(value: object) -> str | None:
    """Return a value as one line of text up to its first NUL, or None if it has no text. See `decoded` for bytes."""
    if isinstance(value, bytes):
        value = decoded(value)
    if not isinstance(value, str):
        return None
    text = value.partition("\0")[0][: 4 * LONGEST]
    text = text.encode(errors="replace").decode()  # JSON may contain half a surrogate pair
    return " ".join(_CONTROL.sub(" ", text).split())[:LONGEST].rstrip() or None


def clean_caption(value: object) -> str | None:
    """Return text like `clean_text`, or None if a camera or program wrote it."""
    text = clean_text(value)
    return None if text is None or _NO_CAPTION.fullmatch(text) else text


def clean_list(values: Iterable[object]) -> tuple[str, ...]:
    """Return the distinct texts in order. Texts that differ only in their Unicode form count as equal."""
    texts: dict[str, str] = {}
    for text in filter(None, map(clean_text, values)):
        texts.setdefault(unicodedata.normalize("NFC", text), text)
    return tuple(texts.values())[:MOST_KEYWORDS]


def decoded(data: bytes) -> str:
    """Decode bytes up to the first NUL, as UTF-8 or, if that fails, as Latin-1."""
    data = data.partition(b"\0")[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def last_part(path: object, separators: str) -> str:
    """Return the last part of a hierarchical keyword such as Places|Greece|Crete."""
    return re.split(f"[{re.escape(separators)}]", str(path).rstrip(separators))[-1]
