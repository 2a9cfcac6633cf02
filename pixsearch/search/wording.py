"""The words of a query, and what of them can be looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from pixsearch.library.terms import is_unspaced, rating_term, words_of
from pixsearch.search.dates_in_words import find_dates

_STOP_WORDS = """
a about above after all also among an and any are around as at be been before behind being below beside between by can
could did do does for from had has have he her his i in inside into is it its me my near next no not of off on one onto
or our out outside over s she shot some that the their them then there these they this those through to under up us was
we were what when where which while who whose with within without you your
image images photo photograph photographs photos pic pics picture pictures
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that say nothing of a photo by themselves."""

_STARS = re.compile(r"(?<!\w)([1-5]|one|two|three|four|five)[ -]stars?(?!\w)", re.IGNORECASE)
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_WORD = re.compile(r"[^\s,;:!?()\[\]{}\"“”„«»/\\|_+*=<>~-]+")
_MOST_PIECES = 32
"""Each is a look into the index."""
_SHORTEST_BEGINNING = 3
_SHORTEST_NUMBER = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a query, or a phrase that is a date or a rating."""

    text: str
    start: int
    end: int
    """Where it stands in the query."""
    words: tuple[str, ...]
    """As terms; none of a phrase."""
    terms: tuple[str, ...]
    """A photo that has one of these says it."""
    is_phrase: bool = False
    is_certain: bool = False
    """Whether it can be nothing else, also where no photo says it: "March 2021", but not "2021"."""

    @property
    def is_number(self) -> bool:
        return any(len(word) >= _SHORTEST_NUMBER and word.isdecimal() for word in self.words)

    @property
    def finds_beginnings(self) -> bool:
        """Whether words that begin so are found too; short ones would begin too many."""
        return all(is_unspaced(word) or len(word) >= _SHORTEST_BEGINNING for word in self.words)


def pieces_of(text: str, today: date) -> list[Piece]:
    """Return the pieces of a query in their order, but for stop words; the first ones of a query of many."""
    phrases = sorted(_phrases(text, today), key=lambda piece: piece.start)
    pieces, at = [], 0
    for phrase in phrases:
        if phrase.start >= at:
            pieces += [*_words(text, at, phrase.start), phrase]
            at = phrase.end
    return [*pieces, *_words(text, at, len(text))][:_MOST_PIECES]


def text_without(text: str, pieces: Sequence[Piece]) -> str:
    """Return a text without some of its pieces, the stop words before them, and those that would begin or end it: of
    "Anna on the beach in 2019" the beach, if Anna and 2019 are taken out. Empty where nothing else is left."""
    kept: list[str] = []
    taken = sorted((piece.start, piece.end) for piece in pieces)
    at = 0
    for start, end in taken:
        kept += _WORD.findall(text[at:start])
        while kept and _is_stop_word(kept[-1]):
            kept.pop()
        at = end
    kept += [word for word in _WORD.findall(text[at:]) if word.strip("'\u2019").lower() != "s"]
    while kept and _is_stop_word(kept[0]):
        kept.pop(0)
    return " ".join(kept) if any(words_of(word) for word in kept) else ""


def _phrases(text: str, today: date) -> Iterator[Piece]:
    for found in find_dates(text, today):
        # A year may also be written in the name of a file or a folder.
        words = (text[found.start : found.end],) if found.end - found.start == 4 else ()
        terms = (*found.terms(), *words)
        is_certain = not found.is_year
        yield Piece(text[found.start : found.end], found.start, found.end, words, terms, True, is_certain)
    for stars in _STARS.finditer(text):
        least = _NUMBERS.get(stars[1].lower()) or int(stars[1])
        terms = tuple(rating_term(number) for number in range(least, 6))
        yield Piece(stars[0], *stars.span(), (), terms, is_phrase=True)


def _words(text: str, start: int, end: int) -> Iterator[Piece]:
    for found in _WORD.finditer(text, start, end):
        words = tuple(word for word in words_of(found[0]) if word not in STOP_WORDS)
        for word in words:  # several where scripts meet
            yield Piece(found[0] if len(words) == 1 else word, *found.span(), (word,), (word,))


def _is_stop_word(word: str) -> bool:
    return all(one in STOP_WORDS for one in words_of(word))
