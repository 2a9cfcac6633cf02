"""One form for what Unicode writes in several: macOS stores accents apart from their letters, others as one."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f]")


def composed(text: str) -> str:
    """Return a text in NFC (Unicode Standard Annex 15)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text for comparisons that make no difference between upper and lower case."""
    return composed(composed(text).casefold())


def unaccented(text: str) -> str:
    """Return a text for comparisons that make no difference of case, accents, or full and half width either.

    Marks that make another letter, as in Japanese or Hindi, stay: only those of Latin, Greek and Cyrillic letters go.
    """
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold()))
