"""One form for what Unicode writes in several: macOS stores accents apart from their letters, others as one."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u0652]")
"""Of Latin, Greek and Cyrillic letters, and the vowels of Arabic."""
_PLAIN = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}  # \u0131: i, no dot
_LETTERS = re.compile(f"[{''.join(_PLAIN)}]")


def composed(text: str) -> str:
    """Return a text in NFC (Unicode Standard Annex 15)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text for comparisons that make no difference between upper and lower case."""
    return composed(composed(text).casefold())


def unaccented(text: str) -> str:
    """Return a text for comparisons that make no difference of case, accents, or full and half width either.

    Marks that make another letter, as in Japanese or Hindi, stay. Letters that Unicode does not take for accented ones
    are written as on keyboards that lack them: Tromsø and Tromso are one, and so are Łódź and Lodz.
    """
    if text.isascii():
        return text.casefold()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _LETTERS.sub(lambda letter: _PLAIN[letter[0]], plain))
