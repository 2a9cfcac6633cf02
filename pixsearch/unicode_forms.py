"""One form for what Unicode writes in several: macOS stores accents apart from their letters, others as one."""

from __future__ import annotations

import unicodedata


def composed(text: str) -> str:
    """Return a text in NFC (Unicode Standard Annex 15)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text for comparisons that make no difference between upper and lower case."""
    return composed(composed(text).casefold())
