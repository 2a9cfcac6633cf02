"""Unicode normalisation for comparing text. For example, macOS stores letters and accents separately."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u0652]")
"""The combining accents of Latin, Greek and Cyrillic letters, and Arabic vowel marks."""
_PLAIN = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}  # \u0131: dotless i
_LETTERS = re.compile(f"[{''.join(_PLAIN)}]")


def composed(text: str) -> str:
    """Return the text normalised to NFC (Unicode Standard Annex #15)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def folded(text: str) -> str:
    """Return the text in a form for case-insensitive comparisons."""
    return composed(composed(text).casefold())


def unaccented(text: str) -> str:
    """Return the text in a form for comparisons that ignore case, accents and character width (full or half).

    Marks that form a different letter, as in Japanese or Hindi, are kept. Letters that Unicode does not treat as
    accented become the letters typed in their place: Tromsø matches Tromso, and Łódź matches Lodz.
    """
    if text.isascii():
        return text.casefold()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _LETTERS.sub(lambda letter: _PLAIN[letter[0]], plain))
