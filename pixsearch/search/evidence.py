"""What a photo says of a query, beside what it shows, and both together as one figure.

The rule, for a part of a query that is words:

1. What only metadata can answer is a *name*: a date; a word that the model was hardly ever taught, if a photo of the
   library says it; words that are written like a name and are the name of a person or a place in the library; and a
   number or a rating beside one, or where nothing else is asked. Names are taken out of the words, and the rest is
   asked of the pixels.
2. A photo's log-odds are the log-odds that it shows the rest, or `SHOWN` if nothing is left to show, plus a term for
   each name: `NAMED` by the source that says it, or `NOT_SAID`.
3. A word that the model was taught is asked of the pixels. If a photo says it too, `ALSO_SAID` adds to the log-odds,
   by its source and by the square root of the word's share in the rarity of all words asked of the pixels
   (weights of evidence: I. J. Good, Probability and the Weighing of Evidence, 1950). Of the name of a person, a place
   or a camera it counts only as a whole: Long Beach is no beach (`_is_whole`).

The weights were chosen on the queries of benchmarks/says_and_shows.py; docs/experiments.md has what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixsearch.library.library import Library
from pixsearch.library.paths import is_at_or_below
from pixsearch.library.postings import TermRange
from pixsearch.library.records import Metadata
from pixsearch.library.terms import (
    UNSPACED,
    Source,
    beginning_with,
    date_terms,
    exactly,
    is_unspaced,
    rating_term,
    terms_of,
    texts_of,
    words_of,
)
from pixsearch.model.words import forms_of
from pixsearch.search.first_stage import Found, Ids
from pixsearch.search.hits import Said
from pixsearch.search.wording import Piece, pieces_of, text_without
from pixsearch.storage import FilePath, path_bytes
from pixsearch.unicode_forms import unaccented

LogOdds = NDArray[np.float64]

TAUGHT_FROM = 5
"""How often a word has to stand in the sentences that a model learned from to be one that it can be asked for."""

SHOWN = 4.0
"""Log-odds that a photo shows what was asked where that is nothing."""
NOT_SAID = -6.0
"""Added for a name that a photo does not say."""
NAMED: Mapping[Source, float] = {
    "people": 0.0,
    "place": 0.0,
    "date": 0.0,
    "rating": 0.0,
    "keyword": 0.0,
    "title": 0.0,
    "caption": -0.2,
    "writing": -0.2,
    "file": -0.3,
    "folder": -0.5,
    "camera": -0.5,
}
"""Added for a name that a photo says, by where: what is about the one photo, and meant to be found, counts in full."""
DECISIVE = 3.0
"""Log-odds from which on what a photo says counts by itself: 95 %."""
BEGINNING = -0.5
"""Added where only the beginning of a word was asked."""
ALSO_SAID: Mapping[Source, float] = {
    "people": 7.0,
    "keyword": 7.0,
    "rating": 7.0,
    "title": 6.0,
    "date": 5.0,
    "caption": 4.0,
    "place": 7.0,
    "writing": 4.0,
    "file": 2.0,
    "folder": 1.5,
    "camera": 1.0,
}
"""Added for taught words that a photo says: a folder or a camera has many photos, of which most show something else."""
_MEANT_TOGETHER = 0.9
"""Which share of the photos that say a name has to say the word beside it, so that it is a part of it: New York."""
_COMMON_FROM = (1000, 0.2, 50_000)
"""A piece is common if more photos say it than this share of all, but at least and at most so many."""
_ALL = 1 << 40
_SAMPLED = 16
"""Photos that say a name, of which is looked who or what they call so."""
_PLURALS = ("s", "es")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A piece of a query, and the contents of the library that say it."""

    piece: Piece
    ids: Ids
    """Unique, ascending; none where it is common."""
    is_common: bool
    """Whether so many photos say it that those found by what else was asked are only looked at whether they do."""
    rarity: float
    is_name: bool
    plurals: bool
    """Whether the plural of the word says it as well."""


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of a query, as a library is asked for them."""

    text: str
    """What is asked of the pixels: the words without the names, or all of them where they are names alone."""
    names_only: bool = False
    """Whether nothing but names is asked."""
    wanted: tuple[Wanted, ...] = ()

    def weigh(self, said: Mapping[Piece, SaidBy]) -> float:
        """Return what is added to the log-odds of a photo that says these pieces."""
        total = 0.0
        weight = sum(one.rarity for one in self.wanted if not one.is_name)
        for one in self.wanted:
            found = said.get(one.piece)
            if one.is_name:
                total += NOT_SAID if found is None else found.as_name
            elif found is not None:
                total += ALSO_SAID[found.said.source] * math.sqrt(one.rarity / weight)
        return total

    def ids_that_say_all(self) -> frozenset[int]:
        """Return the contents that may say every piece; of one content several photos may, each some of it."""
        return frozenset.intersection(*(frozenset(one.ids.tolist()) for one in self.wanted))


class SaidBy(NamedTuple):
    """What says a piece of a query, and whether as it was asked or only by a word that begins so."""

    said: Said
    is_exact: bool

    @property
    def as_name(self) -> float:
        """What is added where the piece is a name."""
        return NAMED[self.said.source] + (0.0 if self.is_exact else BEGINNING)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the candidates of a query say of its parts."""

    names_only: NDArray[np.bool_]  # [parts, 1], whether nothing is asked of the pixels
    added: LogOdds  # [parts, items]
    said: Sequence[tuple[Said, ...]]  # [items], of all its photos and near-duplicates together
    by_photo: Sequence[Mapping[FilePath, tuple[Said, ...]]]  # [items]

    def log_odds(self, shows: NDArray[np.floating], weights: Sequence[float]) -> LogOdds:
        """Return the log-odds [items] that a picture is all that was asked and nothing that was not: of the product of
        the parts' probabilities, each to the power of its weight.

        Args:
            shows: [parts, items], the log-odds that it shows what was asked of the pixels.
        """
        parts = np.where(self.names_only, SHOWN, shows) + self.added
        if list(weights) == [1.0]:  # the same, without a loss of digits
            return np.asarray(parts[0], np.float64)
        total = np.zeros(shows.shape[1])
        for part, weight in zip(parts, weights, strict=True):
            total -= abs(weight) * np.logaddexp(0, -part if weight > 0 else part)
        return np.asarray(total - np.log(-np.expm1(np.minimum(total, -1e-12))))

    def added_to_all(self, weights: Sequence[float]) -> LogOdds:
        """Return the weighted sum [items] of what the parts add, for models without probabilities to add it to: of that
        what by itself makes a photo right or wrong."""
        return np.asarray(np.array(weights) @ np.where(abs(self.added) >= DECISIVE, self.added, 0))


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
        words.issubset(words_of(text)) and all(_is_whole(source, text, one.piece, words) for one in wanted)
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
    words = [term[:UNSPACED] if is_unspaced(term) else term for term in piece.terms]
    if plurals:
        return [exactly(word + ending) for word in words for ending in ("", *_PLURALS)]
    return [beginning_with(word) if piece.finds_beginnings else exactly(word) for word in words]


def _find_said(
    wanted: Sequence[Wanted], path: bytes, roots: Sequence[bytes], metadata: Metadata
) -> dict[Piece, SaidBy]:
    """Return what a photo says of the pieces of a query. Of several sources the one that counts most."""
    root = max((root for root in roots if is_at_or_below(path, root)), key=len, default=b"/")
    found: dict[Piece, SaidBy] = {}
    dated = () if metadata.taken_at is None else date_terms(metadata.taken_at)
    rated = () if metadata.rating is None or metadata.rating < 1 else (rating_term(metadata.rating),)
    texts = texts_of(path, root, metadata)
    terms = {(source, text): set(terms_of(text)) for source, values in texts.items() for text in values}
    words = {term for one in wanted for term in one.piece.terms}
    for one in wanted:
        piece, best = one.piece, -math.inf
        if set(dated).intersection(piece.terms) and metadata.taken_at is not None:
            found[piece] = SaidBy(Said(piece.text, "date", f"{metadata.taken_at:%Y-%m-%d}"), is_exact=True)
            continue
        if set(rated).intersection(piece.terms):
            found[piece] = SaidBy(Said(piece.text, "rating", f"{metadata.rating}"), is_exact=True)
            continue
        for (source, text), of_text in terms.items():
            if piece.kind == "date" and source == "file":  # IMG_2019 is no year
                continue
            if (is_exact := _is_said(one, text, of_text)) is None:
                continue
            if not one.is_name and not _is_whole(source, text, piece, words):
                continue
            option = SaidBy(Said(piece.text, source, text), is_exact)
            if (value := option.as_name if one.is_name else ALSO_SAID[source]) > best:
                best, found[piece] = value, option
    return found


def _is_said(one: Wanted, text: str, terms: set[str]) -> bool | None:
    """Whether a text with these terms says a piece, as it was asked or by a word that begins so; None where it does
    not."""
    accepted = one.piece.terms
    if one.plurals:
        accepted = tuple(word + ending for word in accepted for ending in ("", *_PLURALS))
    if terms.intersection(accepted):
        return True
    if any(is_unspaced(word) and word in unaccented(text) for word in accepted):
        return True
    begins = one.is_name and one.piece.finds_beginnings
    return False if begins and any(term.startswith(word) for term in terms for word in accepted) else None


def _is_whole(source: Source, text: str, piece: Piece, asked: set[str]) -> bool:
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


def find_saying(parts: Sequence[Understood], weights: Sequence[float]) -> list[Ids]:
    """Return the contents that say something of the query, in groups that say equally much. The group that says most
    comes first; rare words count most."""
    looked_for = [part for part, weight in zip(parts, weights, strict=True) if weight > 0]
    wanted = [one for part in looked_for for one in part.wanted if len(one.ids)]
    if not wanted:
        return []
    ids, places = np.unique(np.concatenate([one.ids for one in wanted]), return_inverse=True)
    rarities = np.concatenate([np.full(len(one.ids), one.rarity) for one in wanted])
    total = np.bincount(places, rarities).round(6)
    return [ids[total == one] for one in np.unique(total)[::-1]]


def gather(
    found: Sequence[Found], parts: Sequence[Understood], weights: Sequence[float], roots: Sequence[bytes]
) -> Evidence:
    """Return what pictures say of the parts of a query, each by the one of its photos and near-duplicates that says
    most. Of the first part that is looked for, the copy that says most is put in front."""
    added = np.zeros((len(parts), len(found)))
    by_photo: list[dict[FilePath, tuple[Said, ...]]] = []
    said: list[tuple[Said, ...]] = []
    may_say = [_may_say(part, found) for part in parts]
    main = next((number for number, weight in enumerate(weights) if weight > 0), None)
    for index, one in enumerate(found):
        of_item, of_photos = dict[Said, None](), dict[FilePath, dict[Said, None]]()
        for number, part in enumerate(parts):
            most, of_part, shown_first = part.weigh({}), dict[Piece, SaidBy](), 0
            for candidate in (one.candidate, *one.similar):
                if candidate.content_id not in may_say[number]:
                    continue
                for place, (path, metadata) in enumerate(candidate.photos()):
                    by_this = _find_said(part.wanted, path_bytes(path), roots, metadata)
                    if weights[number] > 0:
                        of_photos.setdefault(path, {}).update(
                            dict.fromkeys(one_said for one_said, _ in by_this.values())
                        )
                    if (weight := part.weigh(by_this)) > most:
                        most, of_part = weight, by_this
                        shown_first = place if candidate is one.candidate else 0
            added[number, index] = most
            if weights[number] > 0:
                of_item |= dict.fromkeys(one_said for one_said, _ in of_part.values())
            if number == main and shown_first:
                one.candidate = one.candidate.shown_first(shown_first)
        said.append(tuple(of_item))
        by_photo.append({path: tuple(of_photo) for path, of_photo in of_photos.items()})
    return Evidence(np.array([[part.names_only] for part in parts]), added, said, by_photo)


def _may_say(part: Understood, found: Sequence[Found]) -> set[int]:
    """Which of the pictures say a piece of a part, or may."""
    ids = np.array([candidate.content_id for one in found for candidate in (one.candidate, *one.similar)])
    if any(one.is_common for one in part.wanted):
        return set(ids.tolist())
    return {id_ for one in part.wanted for id_ in ids[np.isin(ids, one.ids)].tolist()}


def log_odds(probabilities: NDArray[np.floating]) -> LogOdds:
    """Return the log-odds of probabilities, which are finite."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-7)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def probability(log_odds: float) -> float:
    """Return the probability of log-odds."""
    return float(np.exp(-np.logaddexp(0, -log_odds)))
