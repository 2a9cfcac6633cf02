"""Split texts into terms, the strings that the words in a query are compared with.

Texts are split and folded only in this module, so that all databases return the same results. A term is a word as
people type it, without case, accents, or the difference between full and half width. Some words have additional terms,
so that parts of them can be found:

- names in camel case, and adjacent letters and digits: each part, so that img and 2043 find IMG_2043;
- numbers: the last digits, at least two, so that 043 finds IMG_2043;
- scripts without spaces between words (Han, Kana, Thai, Lao, Khmer, Burmese): a term that starts at each character.

A word in a query finds all terms that begin with it, and therefore any part of a text in a script without spaces.

Terms that begin with a punctuation mark are not words. Dates and ratings begin with ":". The term for a photo's
position in the timeline is "@" followed by the photo's date, or "~" followed by its folder if it has no date.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Literal, TypeAlias

from pixsearch.metadata import Metadata
from pixsearch.paths import below
from pixsearch.unicode_forms import unaccented

Source: TypeAlias = Literal[
    "people", "keyword", "title", "caption", "place", "writing", "date", "rating", "file", "folder", "camera"
]
"""The source of a text that describes a photo."""

DATED, UNDATED = "@", "~"
"""The prefixes of timeline terms with and without a date."""
LONGEST = 64
"""The maximum number of characters in a term. Longer words are truncated."""
MOST_TERMS = 2000
"""The maximum number of terms for one photo, enough for pages of text. If there are more, the last are dropped."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "々〆〇"
)
UNSPACED = 8
"""The maximum number of characters in a term in a script without spaces."""
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\s{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ASCII = re.compile(r"[a-z0-9]+")
_PART = re.compile(r"\d+|\D+")
_CAMEL = re.compile(r"(?<=[a-z\u00df-\u00f6\u00f8-\u00ff])(?=[A-Z\u00c0-\u00de])")
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s\b", re.IGNORECASE)


def words_of(text: str) -> list[str]:
    """Return the words of a text in order, folded like terms, without a possessive 's."""
    text = unaccented(_POSSESSIVE.sub("", text))
    if text.isascii():
        return [word[:LONGEST] for word in _ASCII.findall(text)]
    return [word[:LONGEST] for word in _RUN.findall("".join(one if _is_of_a_word(one) else " " for one in text))]


def terms_of(text: str) -> Iterator[str]:
    """Yield all terms of a text. A term may be yielded more than once."""
    for cut in dict.fromkeys((text, _CAMEL.sub(" ", text))):
        for word in words_of(cut):
            if is_unspaced(word):
                yield from (word[start : start + UNSPACED] for start in range(len(word)))
                continue
            yield word
            for part in _PART.findall(word):
                yield part
                if part.isdecimal():
                    yield from (part[start:] for start in range(1, len(part) - 1))


def is_unspaced(word: str) -> bool:
    """Return whether a word is in a script without spaces. Such a string may be part of a word, or several words."""
    return _IS_UNSPACED.match(word) is not None


def date_terms(taken_at: date) -> tuple[str, str, str]:
    """Return the terms for the year, month and day of a photo. No text produces these terms."""
    return f":{taken_at:%Y}", f":{taken_at:%Y-%m}", f":{taken_at:%Y-%m-%d}"


def timeline_term(path: bytes, taken_at: datetime | None) -> str:
    """Return the term for a photo's position in the timeline.

    The term contains the date in local time, or the folder if there is no date. Terms with dates sort chronologically.
    """
    if taken_at is None:
        return UNDATED + path.rpartition(b"/")[0].decode(errors="surrogateescape")
    return DATED + taken_at.replace(tzinfo=None).isoformat(timespec="seconds")


def rating_term(stars: int) -> str:
    """Return the term for a rating. No text produces this term."""
    return f":{stars} stars"


def exactly(term: str) -> tuple[bytes, bytes]:
    """Return the range that contains only this term."""
    return term.encode(), term.encode() + b"\0"


def beginning_with(word: str) -> tuple[bytes, bytes]:
    """Return the range of all terms that begin with a word."""
    first = word.encode()
    return first, first[:-1] + bytes([first[-1] + 1])


def texts_of(path: bytes, root: bytes, metadata: Metadata) -> Mapping[Source, Sequence[str]]:
    """Return the texts that describe a photo, by source. Only the names of folders below the root are included."""
    *folders, file = os.fsdecode(path.removeprefix(below(root))).split("/")
    stem = file.rpartition(".")[0] or file
    texts: dict[Source, Sequence[str | None]] = {  # most important first, see MOST_TERMS
        "people": metadata.people,
        "keyword": metadata.keywords,
        "file": [stem],
        "folder": folders,
        "title": [metadata.title],
        "place": [metadata.location, metadata.place],
        "camera": [metadata.camera],
        "caption": [metadata.caption],
        "writing": metadata.writing or (),
    }
    return {source: [value for value in values if value] for source, values in texts.items()}


def terms_of_photo(path: bytes, root: bytes, metadata: Metadata) -> set[str]:
    """Return the terms for a photo. Bytes in its path that are not valid UTF-8 become surrogates (PEP 383)."""
    terms: dict[str, None] = {timeline_term(path, metadata.taken_at): None}
    if metadata.taken_at is not None:
        terms.update(dict.fromkeys(date_terms(metadata.taken_at)))
    if metadata.rating is not None and metadata.rating > 0:
        terms[rating_term(metadata.rating)] = None
    for values in texts_of(path, root, metadata).values():
        for text in values:
            terms.update(dict.fromkeys(terms_of(text)))
    return set(islice(terms, MOST_TERMS))


def _is_of_a_word(one: str) -> bool:
    """Return whether a character is a letter, a digit, or a combining mark, such as a Hindi vowel sign."""
    return one.isalnum() or unicodedata.category(one)[0] == "M"
