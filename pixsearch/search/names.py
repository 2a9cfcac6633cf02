"""The names in a query: words that only metadata can answer, and are not asked of the pixels."""

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
"""How often a word has to stand in the sentences that a model learned from to be one that it can be asked for."""
_MEANT_TOGETHER = 0.9
"""A word is part of the name beside it if this share of the photos that say the name say the word too: New York."""
_COMMON_FROM = (1000, 0.2, 50_000)
"""A piece is common if more photos say it than this share of all: the first number at least, the third at most."""
_ALL = 1 << 40
_SAMPLED = 16
"""How many photos that say a name are checked for a person or a place of that name."""
_PLURALS = ("s", "es")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A piece of a query, and the contents of the library that say it."""

    piece: Piece
    ids: Ids
    """Unique, ascending; none where it is common."""
    is_common: bool
    """Whether too many photos say it to list them; candidates found otherwise are checked for it."""
    rarity: float
    is_name: bool
    plurals: bool
    """Whether the plural of the word says it as well."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """The terms of which a photo that says it has one."""
        return _accepted(self.piece, plurals=self.plurals)


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of a query, as a library is asked for them."""

    text: str
    """What is asked of the pixels: the words without the names, or all of them where they are names alone."""
    names_only: bool = False
    """Whether nothing but names is asked."""
    wanted: tuple[Wanted, ...] = ()

    def ids_that_say_all(self) -> frozenset[int]:
        """Return the contents that may say every piece; of one content several photos may, each some of it."""
        return frozenset.intersection(*(frozenset(one.ids.tolist()) for one in self.wanted))


def understand(
    text: str, library: Library, taught: Mapping[str, int] | None, today: date, *, says_only: bool = False
) -> Understood:
    """Find out which words of a query are names in a library, and what is left for the pixels; with `says_only` all
    pieces are names."""
    count = max(library.count_contents(), 1)
    least, share, limit = _COMMON_FROM
    most = _ALL if says_only else max(least, min(int(share * count), limit))
    looked_up = []
    for piece in pieces_of(text, today):
        is_name = says_only or piece.kind != "word" or _is_hardly_taught(piece, taught)
        saying = library.contents_saying(ranges_of(piece, plurals=not is_name), most + 1)
        is_common = len(saying) > most
        rarity = math.log1p(count / max(len(saying), 1))
        is_name &= says_only or len(saying) > 0 or piece.is_certain
        ids = saying[:0] if is_common else saying
        looked_up.append(Wanted(piece, ids, is_common, rarity, is_name, plurals=piece.kind == "word" and not is_name))
    wanted = tuple(looked_up) if says_only else _with_names_decided(_with_whole_names(looked_up, library))
    names = [one.piece for one in wanted if one.is_name]
    rest = text_without(text, names) if names else text
    return Understood(rest or text, bool(names) and not rest, wanted)


def _with_whole_names(wanted: Sequence[Wanted], library: Library) -> list[Wanted]:
    """Let words that stand together and are written like a name be one, "Salt Lake City", where most photos that say
    them are of a person or a place of that name."""
    decided = []
    for is_written_so, run in groupby(wanted, lambda one: not one.is_name and _is_written_like_a_name(one)):
        words = list(run)
        if is_written_so:
            ids = reduce(np.intersect1d, (one.ids for one in words))[:_SAMPLED].tolist()
            named = [any(_is_named(one, words) for _, one in found.photos()) for found in library.candidates(ids)]
            words = [replace(one, is_name=2 * sum(named) > len(named)) for one in words]
        decided += words
    return decided


def _is_written_like_a_name(one: Wanted) -> bool:
    return one.piece.kind == "word" and one.piece.text[:1].isupper() and len(one.ids) > 0


def _is_named(metadata: Metadata, wanted: Sequence[Wanted]) -> bool:
    """Whether all pieces are of one person or place."""
    words = {term for one in wanted for term in one.piece.terms}
    texts: list[tuple[Source, str]] = [("people", name) for name in metadata.people]
    texts += [("place", text) for text in (metadata.location, metadata.place) if text]
    return any(
        words.issubset(words_of(text)) and all(is_whole(source, text, one.piece, words) for one in wanted)
        for source, text in texts
    )


def _with_names_decided(wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Return the pieces with the decision which of them are names.

    A word beside a name is a part of it where nearly all photos that say the name say the word too, as in New York. A
    number or a rating is a name only beside another one, or where nothing is asked of the pixels; else a short number
    is not looked up at all.
    """
    is_name = [one.is_name and one.piece.kind in ("word", "date") for one in wanted]
    changed = True
    while changed:
        changed = False
        for here, there in [*pairwise(range(len(wanted))), *pairwise(range(len(wanted))[::-1])]:
            if is_name[here] and not is_name[there] and _belongs_to(wanted[there], wanted[here]):
                is_name[there] = changed = True
    asks_pixels = any(one.piece.kind == "word" and not named for one, named in zip(wanted, is_name, strict=True))
    decided = []
    for one, named in zip(wanted, is_name, strict=True):
        named |= one.is_name and not asks_pixels
        if named or not one.piece.is_short_number:
            decided.append(replace(one, is_name=named))
    return tuple(decided)


def _belongs_to(one: Wanted, name: Wanted) -> bool:
    if one.piece.kind in ("number", "rating"):
        return one.is_name
    if name.piece.kind != "word" or not len(name.ids):
        return False
    both = np.intersect1d(one.ids, name.ids, assume_unique=True)
    return len(both) >= _MEANT_TOGETHER * len(name.ids)


def ranges_of(piece: Piece, *, plurals: bool) -> list[TermRange]:
    """Return the ranges of the terms of which a photo that says a piece has one; one that has may say it."""
    words = [term[:UNSPACED] if is_unspaced(term) else term for term in _accepted(piece, plurals=plurals)]
    begins = piece.finds_beginnings and not plurals
    return [beginning_with(word) if begins else exactly(word) for word in words]


def _accepted(piece: Piece, *, plurals: bool) -> tuple[str, ...]:
    return tuple(term + ending for term in piece.terms for ending in ("", *(_PLURALS if plurals else ())))


def is_whole(source: Source, text: str, piece: Piece, asked: set[str]) -> bool:
    """Whether what says a taught word is asked for as a whole: all of a person, a place or a camera. The first name of
    a person will do where it is written as one, "Rose", or is all that is asked."""
    [word, *_] = piece.terms
    if source == "people":
        name = words_of(text)
        is_written_so = piece.text[:1].isupper() or piece.is_alone
        return asked.issuperset(name) or (is_written_so and name[:1] == [word])
    if source == "place":
        return any(word in name and asked.issuperset(name) for name in map(words_of, text.split(",")))
    return source != "camera" or asked.issuperset(words_of(text))


def _is_hardly_taught(piece: Piece, taught: Mapping[str, int] | None) -> bool:
    if taught is None:  # nobody knows
        return False
    return all(taught.get(form, 0) < TAUGHT_FROM for word in piece.terms for form in forms_of(word))
