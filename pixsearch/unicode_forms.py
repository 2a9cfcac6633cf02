"""Normal forms of Unicode text: macOS, for one, stores accents apart from their letters, other systems together."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u0652]")
"""The accents of Latin, Greek and Cyrillic letters, and the vowels of Arabic."""
_PLAIN = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}  # \u0131: i, no dot
_LETTERS = re.compile(f"[{''.join(_PLAIN)}]")


def composed(text: str) -> str:
    """Return the text normalised to NFC (Unicode Standard Annex #15)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return a text for comparisons that ignore case."""
    return composed(composed(text).casefold())


def unaccented(text: str) -> str:
    """Return a text for comparisons that ignore case, accents, and full and half width.

    Marks that make a different letter, as in Japanese or Hindi, are kept. Letters that Unicode does not treat as
    accented become those used on keyboards without them: Tromsø equals Tromso, and Łódź equals Lodz.
    """
    if text.isascii():
        return text.casefold()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _LETTERS.sub(lambda letter: _PLAIN[letter[0]], plain))
