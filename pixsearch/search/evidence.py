"""What a photo says of a query, beside what it shows, and both together as one figure.

The rule, for a part of a query that is words:

1. Words that only metadata can answer are *names*: dates and ratings, numbers, and words that the model was hardly
   ever taught, if a photo of the library says them. They are taken out, and the rest is asked of the pixels.
2. A photo's log-odds are those that it shows the rest, or `SHOWN` where nothing is left to be shown; and for each name
   what its source takes away (`NAMED`), or `NOT_SAID`.
3. A word that the model was taught is asked of the pixels. Where a photo says it too, `ALSO_SAID` adds to the log-odds,
   by its source and by the square root of the word's share in the rarity of those that are asked of the pixels
   (weights of evidence: I. J. Good, Probability and the Weighing of Evidence, 1950).

The weights were chosen on the queries of benchmarks/says_and_shows.py; docs/experiments.md has what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pixsearch.library.library import Library
from pixsearch.library.paths import is_at_or_below
from pixsearch.library.postings import TermRange
from pixsearch.library.records import Metadata
from pixsearch.library.terms import Source, date_terms, rating_term, terms_of, texts_of
from pixsearch.model.words import forms_of
from pixsearch.search.first_stage import Found, Ids
from pixsearch.search.hits import Said
from pixsearch.search.wording import Piece, pieces_of, text_without
from pixsearch.storage import path_bytes

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
    "title": 6.0,
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
_PLURALS = ("s", "es")


@dataclass(slots=True)
class _Wanted:
    """A piece of a query, and the contents of the library that say it."""

    piece: Piece
    ids: Ids
    """Unique, ascending; none where it is common."""
    is_name: bool
    is_common: bool
    """Whether so many photos say it that those found by what else was asked are only looked at whether they do."""
    rarity: float


@dataclass(frozen=True, slots=True)
class Understood:
    """Words of a query, as a library is asked for them."""

    text: str
    """What is asked of the pixels: the words without the names, or all of them where they are names alone."""
    names_only: bool = False
    """Whether nothing but names is asked."""
    wanted: Sequence[_Wanted] = ()

    def added(self, said: Mapping[str, tuple[Said, bool]]) -> float:
        """Return what is added to the log-odds of a photo."""
        total = 0.0
        weight = sum(one.rarity for one in self.wanted if not one.is_name)
        for one in self.wanted:
            found = said.get(one.piece.text)
            if one.is_name:
                total += NOT_SAID if found is None else NAMED[found[0].source] + (0.0 if found[1] else BEGINNING)
            elif found is not None:
                total += ALSO_SAID[found[0].source] * math.sqrt(one.rarity / weight)
        return total

    def ids_that_say_all(self) -> frozenset[int]:
        """Return the contents that say every piece; of one content several photos may, each some of it."""
        return frozenset.intersection(*(frozenset(one.ids.tolist()) for one in self.wanted))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the candidates of a query say of its parts."""

    names_only: NDArray[np.bool_]  # [parts, 1], whether nothing is asked of the pixels
    added: LogOdds  # [parts, items]
    said: Sequence[tuple[Said, ...]]  # [items]

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

    def added_in_all(self, weights: Sequence[float]) -> LogOdds:
        """Return the weighted sum [items] of what the parts add, for models without probabilities to add it to: of that
        what by itself makes a photo right or wrong."""
        return np.asarray(np.array(weights) @ np.where(abs(self.added) >= DECISIVE, self.added, 0))


def understood(
    text: str,
    library: Library,
    taught: Mapping[str, int] | None,
    today: date,
    *,
    says_only: bool = False,
) -> Understood:
    """Find out which words of a query are names in a library, and what is left for the pixels."""
    pieces = pieces_of(text, today)
    count = max(library.count_contents(), 1)
    least, share, limit = _COMMON_FROM
    most = _ALL if says_only else max(least, min(int(share * count), limit))
    wanted = []
    for piece in pieces:
        is_name = says_only or piece.is_phrase or piece.is_number or _is_hardly_taught(piece, taught)
        ranges = _ranges(piece, is_name=is_name)
        saying = library.contents_saying(ranges, most + 1)
        is_common = len(saying) > most
        is_name &= says_only or piece.is_certain or len(saying) > 0
        wanted.append(
            _Wanted(
                piece, saying[:0] if is_common else saying, is_name, is_common, math.log1p(count / max(len(saying), 1))
            )
        )
    if not says_only:
        _join_names(wanted)
    names = [one.piece for one in wanted if one.is_name]
    rest = text_without(text, names) if names else text
    return Understood(rest or text, bool(names) and not rest, wanted)


def _ranges(piece: Piece, *, is_name: bool) -> list[TermRange]:
    """Return the ranges of the terms that say a piece: a name by its beginning, a taught word in its plural too."""
    if not is_name:
        return [_exactly(word + ending) for word in piece.terms for ending in ("", *_PLURALS)]
    begun = piece.words if piece.finds_beginnings else ()
    return [
        *(_beginning_with(word) for word in begun),
        *(_exactly(term) for term in piece.terms if term not in begun),
    ]


def _exactly(term: str) -> TermRange:
    """Return the range of the one term."""
    return term.encode(), term.encode() + b"\0"


def _beginning_with(word: str) -> TermRange:
    """Return the range of all terms that begin with a word."""
    first = word.encode()
    return first, first[:-1] + bytes([first[-1] + 1])


def _said_by(
    wanted: Sequence[_Wanted], path: bytes, roots: Sequence[bytes], metadata: Metadata
) -> dict[str, tuple[Said, bool]]:
    """Return what a photo says of the pieces of a query, by their texts, and whether it says each as it was asked and
    not only a word that begins so. Of several sources the one that counts most."""
    root = max((root for root in roots if is_at_or_below(path, root)), key=len, default=b"/")
    found: dict[str, tuple[Said, bool]] = {}
    dated = () if metadata.taken_at is None else date_terms(metadata.taken_at)
    rated = () if metadata.rating is None or metadata.rating < 1 else (rating_term(metadata.rating),)
    texts = texts_of(path, root, metadata)
    terms = {(source, text): set(terms_of(text)) for source, values in texts.items() for text in values}
    for one in wanted:
        piece, best = one.piece, -math.inf
        if set(dated).intersection(piece.terms) and metadata.taken_at is not None:
            found[piece.text] = Said(piece.text, "date", f"{metadata.taken_at:%Y-%m-%d}"), True
            continue
        if set(rated).intersection(piece.terms):
            found[piece.text] = Said(piece.text, "rating", f"{metadata.rating}"), True
            continue
        matches = _name_matches if one.is_name else _word_matches
        for (source, text), of_text in terms.items():
            if (is_exact := matches(piece, of_text)) is None:
                continue
            value = NAMED[source] + (0 if is_exact else BEGINNING) if one.is_name else ALSO_SAID[source]
            if value > best:
                best, found[piece.text] = value, (Said(piece.text, source, text), is_exact)
    return found


def _name_matches(piece: Piece, terms: set[str]) -> bool | None:
    """Whether a text says a name, as it was asked or by a word that begins so; None where it does not."""
    if terms.intersection(piece.terms):
        return True
    begins = piece.finds_beginnings and any(term.startswith(word) for term in terms for word in piece.words)
    return False if begins else None


def _word_matches(piece: Piece, terms: set[str]) -> bool | None:
    forms = [word + ending for word in piece.words for ending in ("", *_PLURALS)]
    return True if terms.intersection(forms) else None


def _is_hardly_taught(piece: Piece, taught: Mapping[str, int] | None) -> bool:
    if taught is None:  # nobody knows
        return False
    return all(taught.get(form, 0) < TAUGHT_FROM for word in piece.words for form in forms_of(word))


def _join_names(wanted: Sequence[_Wanted]) -> None:
    """Let a word beside a name be a part of it where nearly all photos that say the name say the word too."""
    changed = True
    while changed:
        changed = False
        for one, other in [*pairwise(wanted), *pairwise(wanted[::-1])]:
            if one.is_name and not one.piece.is_phrase and not other.is_name and len(one.ids):
                both = np.intersect1d(one.ids, other.ids, assume_unique=True)
                if len(both) >= _MEANT_TOGETHER * len(one.ids):
                    other.is_name = changed = True


def saying(parts: Sequence[Understood]) -> list[Ids]:
    """Return the contents that say something of what is asked, in groups of those that say equally much: first what
    says most, the rarest words counting most."""
    wanted = [one for part in parts for one in part.wanted if len(one.ids)]
    if not wanted:
        return []
    ids, places = np.unique(np.concatenate([one.ids for one in wanted]), return_inverse=True)
    weights = np.bincount(places, np.concatenate([np.full(len(one.ids), one.rarity) for one in wanted])).round(6)
    return [ids[weights == weight] for weight in np.unique(weights)[::-1]]


def gathered(found: Sequence[Found], parts: Sequence[Understood], roots: Sequence[bytes]) -> Evidence:
    """Return what pictures say of the parts of a query, each by the one of its photos and near-duplicates that says
    most. Where one of its own photos does, that is put in front."""
    added = np.zeros((len(parts), len(found)))
    said: list[tuple[Said, ...]] = []
    may_say = [_may_say(part, found) for part in parts]
    for index, one in enumerate(found):
        of_item: dict[Said, None] = {}
        for number, part in enumerate(parts):
            most, of_part, shown_first = part.added({}), dict[str, tuple[Said, bool]](), 0
            for candidate in (one.candidate, *one.similar):
                if candidate.content_id not in may_say[number]:
                    continue
                for place, (path, metadata) in enumerate(candidate.photos()):
                    by_photo = _said_by(part.wanted, path_bytes(path), roots, metadata)
                    if (by_this := part.added(by_photo)) > most:
                        most, of_part = by_this, by_photo
                        shown_first = place if candidate is one.candidate else 0
            added[number, index] = most
            of_item |= dict.fromkeys(said for said, _ in of_part.values())
            if shown_first:
                one.candidate = one.candidate.shown_first(shown_first)
        said.append(tuple(of_item))
    return Evidence(np.array([[part.names_only] for part in parts]), added, said)


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
