"""Find the names in a query: words that are looked up in metadata and not compared with the pixels.

A photo "mentions" a word if its metadata, file name or folders contain it; see `pixsearch.search.evidence`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from itertools import groupby, pairwise

import numpy as np

from pixsearch.library.library import Library
from pixsearch.library.postings import TermRange
from pixsearch.library.terms import UNSPACED, Source, beginning_with, exactly, is_unspaced, words_of
from pixsearch.metadata import Metadata
from pixsearch.model.words import forms_of
from pixsearch.search.first_stage import Ids
from pixsearch.search.wording import Piece, pieces_of, text_without

TAUGHT_FROM = 5
"""The minimum number of times a word must occur in the training captions to count as known to the model."""
_PART_OF_NAME_FROM = 0.9
"""A word is part of an adjacent name, as in New York, if this share of the photos with the name mention the word."""
_COMMON_FROM = (1000, 0.2, 50_000)
"""A piece is common if more than this share of all photos (the second number) mention it.

The other two numbers are the lower and upper bounds of the resulting photo count."""
_ALL = 1 << 40
_SAMPLED = 16
"""The maximum number of photos that are checked for a person or a place of a given name."""
_PLURALS = ("s", "es")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A piece of a query, and the pictures in the library that mention it."""

    piece: Piece
    ids: Ids
    """The content ids of the pictures, unique and ascending; empty if the piece is common."""
    is_common: bool
    """True if too many photos mention the piece to list them all. Candidates are then checked for it one by one."""
    rarity: float
    is_name: bool
    plurals: bool
    """True if the plural of the word also matches."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """The index terms that match. Every photo that mentions the piece has one of them."""
        return _accepted(self.piece, plurals=self.plurals)


@dataclass(frozen=True, slots=True)
class Understood:
    """The words of a query, split into names to look up in the library and text to compare with the pixels."""

    text: str
    """The text to compare with the pixels: the query without the names, or all of it if all words are names."""
    names_only: bool = False
    """True if the query consists only of names."""
    wanted: tuple[Wanted, ...] = ()

    def ids_that_say_all(self) -> frozenset[int]:
        """Return the content ids of the pictures that mention all pieces, though possibly in different copies."""
        return frozenset.intersection(*(frozenset(one.ids.tolist()) for one in self.wanted))


def understand(
    text: str, library: Library, taught: Mapping[str, int] | None, today: date, *, says_only: bool = False
) -> Understood:
    """Split a query into names and text for the pixels. With `says_only`, treat all pieces as names."""
    count = max(library.count_contents(), 1)
    least, share, limit = _COMMON_FROM
    most = _ALL if says_only else max(least, min(int(share * count), limit))
    looked_up = []
    for piece in pieces_of(text, today):
        is_name = says_only or piece.kind != "word" or _is_rarely_taught(piece, taught)
        saying = library.contents_saying(ranges_of(piece, plurals=not is_name), most + 1)
        is_common = len(saying) > most
        rarity = math.log1p(count / max(len(saying), 1))
        is_name &= says_only or len(saying) > 0 or piece.is_certain
        ids = saying[:0] if is_common else saying
        looked_up.append(Wanted(piece, ids, is_common, rarity, is_name, plurals=piece.kind == "word" and not is_name))
    wanted = tuple(looked_up) if says_only else _with_names_marked(_with_whole_names(looked_up, library))
    names = [one.piece for one in wanted if one.is_name]
    rest = text_without(text, names) if names else text
    return Understood(rest or text, bool(names) and not rest, wanted)


def _with_whole_names(wanted: Sequence[Wanted], library: Library) -> list[Wanted]:
    """Mark adjacent capitalised words, like "Salt Lake City", as names if they name a person or a place in most photos
    that mention them."""
    decided = []
    for may_be_name, run in groupby(wanted, lambda one: not one.is_name and _is_written_like_a_name(one)):
        words = list(run)
        if may_be_name:
            ids = reduce(np.intersect1d, (one.ids for one in words))[:_SAMPLED].tolist()
            named = [any(_is_named(one, words) for _, one in found.photos()) for found in library.candidates(ids)]
            words = [replace(one, is_name=2 * sum(named) > len(named)) for one in words]
        decided += words
    return decided


def _is_written_like_a_name(one: Wanted) -> bool:
    return one.piece.kind == "word" and one.piece.text[:1].isupper() and len(one.ids) > 0


def _is_named(metadata: Metadata, wanted: Sequence[Wanted]) -> bool:
    """Return whether all pieces are part of the name of a single person or place in a photo's metadata."""
    words = {term for one in wanted for term in one.piece.terms}
    texts: list[tuple[Source, str]] = [("people", name) for name in metadata.people]
    texts += [("place", text) for text in (metadata.location, metadata.place) if text]
    return any(
        words.issubset(words_of(text)) and all(is_whole(source, text, one.piece, words) for one in wanted)
        for source, text in texts
    )


def _with_names_marked(wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Decide which pieces are names, and return the pieces to look up.

    A word next to a name is part of it if nearly all photos that mention the name also mention the word, as in New
    York. A number or a rating is a name only if it is next to a name, or if no words are left for the pixels. Short
    numbers that are not names are not looked up.
    """
    is_name = [one.is_name and one.piece.kind in ("word", "date") for one in wanted]
    changed = True
    while changed:
        changed = False
        for index, neighbour in [*pairwise(range(len(wanted))), *pairwise(range(len(wanted))[::-1])]:
            if is_name[index] and not is_name[neighbour] and _belongs_to(wanted[neighbour], wanted[index]):
                is_name[neighbour] = changed = True
    has_pixel_words = any(one.piece.kind == "word" and not named for one, named in zip(wanted, is_name, strict=True))
    decided = []
    for one, named in zip(wanted, is_name, strict=True):
        named |= one.is_name and not has_pixel_words
        if named or not one.piece.is_short_number:
            decided.append(replace(one, is_name=named))
    return tuple(decided)


def _belongs_to(one: Wanted, name: Wanted) -> bool:
    if one.piece.kind in ("number", "rating"):
        return one.is_name
    if name.piece.kind != "word" or not len(name.ids):
        return False
    both = np.intersect1d(one.ids, name.ids, assume_unique=True)
    return len(both) >= _PART_OF_NAME_FROM * len(name.ids)


def ranges_of(piece: Piece, *, plurals: bool) -> list[TermRange]:
    """Return ranges of index terms for a piece. All photos that mention it have a term in them; others may, too."""
    words = [term[:UNSPACED] if is_unspaced(term) else term for term in _accepted(piece, plurals=plurals)]
    begins = piece.finds_beginnings and not plurals
    return [beginning_with(word) if begins else exactly(word) for word in words]


def _accepted(piece: Piece, *, plurals: bool) -> tuple[str, ...]:
    return tuple(term + ending for term in piece.terms for ending in ("", *(_PLURALS if plurals else ())))


def is_whole(source: Source, text: str, piece: Piece, query_words: set[str]) -> bool:
    """Return whether a query contains the whole name (of a person, place or camera) in which one of its words occurs.

    The first name of a person is enough if it is capitalised, like "Rose", or is the whole query.
    """
    [word, *_] = piece.terms
    if source == "people":
        name = words_of(text)
        may_be_first_name = piece.text[:1].isupper() or piece.is_alone
        return query_words.issuperset(name) or (may_be_first_name and name[:1] == [word])
    if source == "place":
        return any(word in name and query_words.issuperset(name) for name in map(words_of, text.split(",")))
    return source != "camera" or query_words.issuperset(words_of(text))


def _is_rarely_taught(piece: Piece, taught: Mapping[str, int] | None) -> bool:
    if taught is None:  # the checkpoint does not list its words
        return False
    return all(taught.get(form, 0) < TAUGHT_FROM for word in piece.terms for form in forms_of(word))
