"""Split a query into words, dates and ratings that can be looked up in metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias

from pixsearch.library.terms import is_unspaced, rating_term, words_of
from pixsearch.picture_files import is_named_like_a_picture
from pixsearch.search.dates_in_words import find_dates

_STOP_WORDS = """
a about above after all also among an and any are around as at be been before behind being below beside between by can
could did do does for from had has have he her his i in inside into is it its me my near next no not of off on one onto
or our out outside over s she shot some that the their them then there these they this those through to under up us was
we were what when where which while who whose with within without you your
image images photo photograph photographs photos pic pics picture pictures
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())
"""Words that do not describe a photo by themselves."""
_VAGUE_WORDS = """
anybody anyone anything everybody everyone everything nobody none nothing sight somebody someone something
gif heic jpeg jpg png raw tif tiff webp
"""
VAGUE_WORDS = STOP_WORDS | frozenset(_VAGUE_WORDS.split())
"""Words that are too vague to search for."""

_STARS = re.compile(r"(?<!\w)([1-5]|one|two|three|four|five)[ -]stars?(?!\w)", re.IGNORECASE)
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
_WORD = re.compile(r"[^\s,;:!?()\[\]{}\"“”„«»/\\|_+*=<>~-]+")
_MARKS = " \t\n,;:.!?-/|"
_MOST_PIECES = 32
"""The maximum number of pieces in a query. Each requires a lookup in the index."""
_SHORTEST_BEGINNING = 3
_SHORTEST_BEGINNING_BEYOND_LATIN = 2
_SHORTEST_NUMBER = 3
_SHORTEST_NUMBER_TO_BEGIN = 6
"""The minimum length of a number that also finds longer numbers, as 201903 finds 20190304."""
_LONGEST = 1000
"""The maximum number of characters of a query that are looked up."""
_LEADING = "a an and at by during for from in of on or photo photos picture pictures the to with"
_LEADING_TO_A_NAME = frozenset(_LEADING.split())

Kind: TypeAlias = Literal["word", "number", "date", "rating"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A word in a query, or a phrase that is a date or a rating."""

    text: str
    start: int
    end: int
    """The end of the piece in the query, exclusive."""
    kind: Kind
    terms: tuple[str, ...]
    """The index terms that match. A photo with one of them mentions the piece."""
    is_alone: bool = False
    """True if the piece is the whole query."""
    is_certain: bool = False
    """True if the piece can only be a date, even if no photo has that date: "March 2021", but not "2021"."""

    @property
    def finds_beginnings(self) -> bool:
        """True if longer words that begin with the piece also match. Short pieces would match too many."""
        [word, *_] = self.terms
        if self.kind == "number":
            return len(word) >= _SHORTEST_NUMBER_TO_BEGIN
        least = _SHORTEST_BEGINNING if word.isascii() else _SHORTEST_BEGINNING_BEYOND_LATIN
        return self.kind == "word" and (is_unspaced(word) or len(word) >= least)

    @property
    def is_short_number(self) -> bool:
        """True if the piece is a short number, which is more likely a count than a name."""
        return self.kind == "number" and len(self.terms[0]) < _SHORTEST_NUMBER


def pieces_of(text: str, today: date) -> list[Piece]:
    """Return the first 32 pieces of a query in order, without stop words and repetitions."""
    text = text[:_LONGEST]
    phrases = sorted(_phrases(text, today), key=lambda piece: piece.start)
    pieces, at = [], 0
    for phrase in phrases:
        if phrase.start >= at:
            pieces += [*_words(text, at, phrase.start), phrase]
            at = phrase.end
    pieces += _words(text, at, len(text))
    return list({piece.terms: piece for piece in reversed(pieces)}.values())[::-1][:_MOST_PIECES]


def without_phrases(text: str, today: date) -> str:
    """Return a text without its dates and ratings."""
    for phrase in _phrases(text, today):
        text = text[: phrase.start] + " " * (phrase.end - phrase.start) + text[phrase.end :]
    return text


def text_without(text: str, pieces: Sequence[Piece]) -> str:
    """Return a text without some of its pieces and the stop words that lead to them.

    "Anna on the beach in 2019" without Anna and 2019 is "beach". Return an empty string if only stop words are left.
    """
    kept, at = "", 0
    for start, end in sorted((piece.start, piece.end) for piece in pieces):
        kept = _without_last_words(kept + text[at:start])
        at = max(at, end)
    rest = _without_first_words(kept + text[at:])
    return rest if any(word not in STOP_WORDS for word in words_of(rest)) else ""


def _without_last_words(text: str) -> str:
    """Return a text without the punctuation and the words at its end that lead to a name, like "in the"."""
    while (words := text.rstrip(_MARKS).rsplit(maxsplit=1)) and words[-1].lower() in _LEADING_TO_A_NAME:
        text = words[0] if len(words) > 1 else ""
    return f"{text.rstrip(_MARKS)} " if text.strip(_MARKS) else ""


def _without_first_words(text: str) -> str:
    while (words := text.lstrip(_MARKS).split(maxsplit=1)) and words[0].lower() in _LEADING_TO_A_NAME:
        text = words[1] if len(words) > 1 else ""
    return text.strip(_MARKS)


def _phrases(text: str, today: date) -> Iterator[Piece]:
    for found in find_dates(text, today):
        phrase = text[found.start : found.end]
        around = (*words_of(text[: found.start]), "|", *words_of(text[found.end :]))
        if found.is_relative and not _is_at_an_end(around):
            continue  # not a date: "in the last week of school"
        # A year may also be the name of a folder.
        terms = (*found.terms(), phrase) if found.is_year else tuple(found.terms())
        yield Piece(phrase, found.start, found.end, "date", terms, is_certain=not found.is_year)
    for stars in _STARS.finditer(text):
        least = _NUMBERS.get(stars[1].lower()) or int(stars[1])
        terms = tuple(rating_term(number) for number in range(least, 6))
        yield Piece(stars[0], *stars.span(), "rating", terms)


def _is_at_an_end(around: Sequence[str]) -> bool:
    """Return whether there are only stop words before the "|", or only stop words after it."""
    at = around.index("|")
    return all(word in STOP_WORDS for word in around[:at]) or all(word in STOP_WORDS for word in around[at + 1 :])


def _words(text: str, start: int, end: int) -> Iterator[Piece]:
    for found in _WORD.finditer(text, start, end):
        typed = found[0]
        if is_named_like_a_picture(typed.encode(errors="replace")):
            typed = typed.rpartition(".")[0]
        words = tuple(word for word in words_of(typed) if word not in STOP_WORDS)
        for word in words:  # several if scripts are mixed
            kind: Kind = "number" if word.isdecimal() else "word"
            yield Piece(found[0] if len(words) == 1 else word, *found.span(), kind, (word,), found[0] == text.strip())
