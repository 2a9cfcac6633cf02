"""The terms of texts: what two texts have in common where one is found by the other.

Texts are cut and folded here alone, so that every database gives the same answers. A term is a word as people type it,
without case, accents, or full and half width. What is found by a part has more terms:

- a name in camel case, and letters and digits that stand together, by each part: IMG_2043 by img and by 2043;
- a number by its last digits, two or more: IMG_2043 by 043;
- scripts that put no blanks between words (Han, Kana, Thai, Lao, Khmer, Burmese) at every character.

A query word finds all terms that begin with it. So it finds any part of what is cut at every character.

Terms that begin with a sign are no words: of dates and ratings (":"), and of where a photo stands in the timeline ("@"
with when it was taken, "~" with its folder where that is not known).
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
"""What says something of a photo."""

DATED, UNDATED = "@", "~"
"""What a term of the timeline begins with."""
LONGEST = 64
"""Characters of a term; of a longer word these count."""
MOST_TERMS = 2000
"""Of one photo, those of its people first and of the text in it last: enough for pages of text."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "々〆〇"
)
UNSPACED = 8
"""Characters of a term of a script without blanks."""
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\s{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ASCII = re.compile(r"[a-z0-9]+")
_PART = re.compile(r"\d+|\D+")
_CAMEL = re.compile(r"(?<=[a-z\u00df-\u00f6\u00f8-\u00ff])(?=[A-Z\u00c0-\u00de])")
_POSSESSIVE = re.compile(r"(?<=\w)['\u2019]s\b", re.IGNORECASE)


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order, as terms have them. The s of "Anna's" is none."""
    text = unaccented(_POSSESSIVE.sub("", text))
    if text.isascii():
        return [word[:LONGEST] for word in _ASCII.findall(text)]
    return [word[:LONGEST] for word in _RUN.findall("".join(one if _is_of_a_word(one) else " " for one in text))]


def terms_of(text: str) -> Iterator[str]:
    """Yield all terms of a text; some may come twice."""
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
    """Return whether a word is of a script without blanks, so that it may be a part of one or several words."""
    return _IS_UNSPACED.match(word) is not None


def date_terms(taken_at: date) -> tuple[str, str, str]:
    """Return the terms for the year, the month and the day of a photo, which no text has."""
    return f":{taken_at:%Y}", f":{taken_at:%Y-%m}", f":{taken_at:%Y-%m-%d}"


def timeline_term(path: bytes, taken_at: datetime | None) -> str:
    """Return the term of a photo that says where it stands in the timeline: when it was taken, by the clock of where
    that was, or its folder. In the order of terms, dates ascend."""
    if taken_at is None:
        return UNDATED + path.rpartition(b"/")[0].decode(errors="surrogateescape")
    return DATED + taken_at.replace(tzinfo=None).isoformat(timespec="seconds")


def rating_term(stars: int) -> str:
    """Return the term for a rating, which no text has."""
    return f":{stars} stars"


def exactly(term: str) -> tuple[bytes, bytes]:
    """Return the range of the one term."""
    return term.encode(), term.encode() + b"\0"


def beginning_with(word: str) -> tuple[bytes, bytes]:
    """Return the range of all terms that begin with a word."""
    first = word.encode()
    return first, first[:-1] + bytes([first[-1] + 1])


def texts_of(path: bytes, root: bytes, metadata: Metadata) -> Mapping[Source, Sequence[str]]:
    """Return what a photo says, by what says it. Of its folders those below the root count."""
    *folders, file = os.fsdecode(path.removeprefix(below(root))).split("/")
    stem = file.rpartition(".")[0] or file
    texts: dict[Source, Sequence[str | None]] = {  # what matters most in front: see MOST_TERMS
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
    """Return the terms by which a photo is found. Bytes of a folder that are not UTF-8 are surrogates (PEP 383)."""
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
    """Whether a character is a letter, a digit, or a mark on one, as the vowels of Hindi are."""
    return one.isalnum() or unicodedata.category(one)[0] == "M"
