"""The evidence for a hit: what a photo *says* (its metadata, name and folders) and what it *shows* (its pixels),
combined into one score.

The rules for the words of a query:

1. Words that only metadata can answer are *names*: a date; a word that the model has hardly ever seen, if a photo of
   the library says it; words that are written like a name and are the name of a person or a place in the library; and
   a number or a rating, if it is next to a name or the query has nothing else. Names are taken out of the text; the
   rest is compared with the pixels.
2. A photo's log-odds are the log-odds that it shows the rest, or `SHOWN` if no text is left, plus a term for each
   name: `NAMED` by the source that says it, or `NOT_SAID`.
3. A word that the model was trained on is compared with the pixels. If a photo says it too, `ALSO_SAID` adds to the
   log-odds, by its source and by the square root of the word's share in the rarity of all words compared with the
   pixels (weights of evidence: I. J. Good, Probability and the Weighing of Evidence, 1950). A word in the name of a
   person, a place or a camera counts only if the query has the whole name: Long Beach is not a beach (`is_whole`).

The weights were chosen on the queries of benchmarks/says_and_shows.py; docs/history.md has what else was tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixsearch.library.terms import Source, date_terms, is_unspaced, rating_term, terms_of, texts_of
from pixsearch.metadata import Metadata
from pixsearch.paths import is_at_or_below
from pixsearch.search.first_stage import Found, Ids
from pixsearch.search.hits import Said
from pixsearch.search.names import Understood, Wanted, is_whole
from pixsearch.search.wording import Piece
from pixsearch.storage import FilePath, path_bytes
from pixsearch.unicode_forms import unaccented

LogOdds = NDArray[np.float64]

SHOWN = 4.0
"""The log-odds that a photo shows the rest of a query that has nothing but names."""
NOT_SAID = -6.0
"""Added for a name that the photo does not say."""
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
"""Added for a name that a photo says, by source: text about this one photo that is meant to be found counts in full."""
DECISIVE = 3.0
"""The least log-odds that count for a model without probabilities: a probability of 95%."""
BEGINNING = -0.5
"""Added if the query has only the beginning of the word."""
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
"""Added for known words that a photo says: a folder or a camera has many photos, and most show something else."""


class SaidBy(NamedTuple):
    """The text that says a piece of a query, either exactly or only with a word that begins with it."""

    said: Said
    is_exact: bool

    @property
    def as_name(self) -> float:
        """The log-odds to add if the piece is a name."""
        return NAMED[self.said.source] + (0.0 if self.is_exact else BEGINNING)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The parts of a query as said by its candidates."""

    names_only: NDArray[np.bool_]  # [parts, 1], True if the part has nothing to compare with the pixels
    added: LogOdds  # [parts, items]
    said: Sequence[tuple[Said, ...]]  # [items], by all photos and near-duplicates of the item together
    by_photo: Sequence[Mapping[FilePath, tuple[Said, ...]]]  # [items]

    def log_odds(self, shows: NDArray[np.floating], weights: Sequence[float]) -> LogOdds:
        """Return the log-odds [items] that a picture matches every part, and no part with a negative weight: those of
        the product of the parts' probabilities, each to the power of its weight.

        Args:
            shows: the log-odds [parts, items] that the pixels show the part.
        """
        parts = np.where(self.names_only, SHOWN, shows) + self.added
        if list(weights) == [1.0]:  # the general formula would lose digits
            return np.asarray(parts[0], np.float64)
        total = np.zeros(shows.shape[1])
        for part, weight in zip(parts, weights, strict=True):
            total -= abs(weight) * np.logaddexp(0, -part if weight > 0 else part)
        return np.asarray(total - np.log(-np.expm1(np.minimum(total, -1e-12))))

    def added_to_all(self, weights: Sequence[float]) -> LogOdds:
        """Return the weighted sum [items] of the decisive evidence, for models without probabilities to add it to.

        Evidence is decisive if it makes a photo right or wrong by itself.
        """
        return np.asarray(np.array(weights) @ np.where(abs(self.added) >= DECISIVE, self.added, 0))


def _find_said(
    wanted: Sequence[Wanted], path: bytes, roots: Sequence[bytes], metadata: Metadata
) -> dict[Piece, SaidBy]:
    """Return the pieces of a query that a photo says, each with the source that counts most."""
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
            if piece.kind == "date" and source == "file":  # IMG_2019 is not a year
                continue
            if (is_exact := _is_said(one, text, of_text)) is None:
                continue
            if not one.is_name and not is_whole(source, text, piece, words):
                continue
            option = SaidBy(Said(piece.text, source, text), is_exact)
            if (value := option.as_name if one.is_name else ALSO_SAID[source]) > best:
                best, found[piece] = value, option
    return found


def _is_said(one: Wanted, text: str, terms: set[str]) -> bool | None:
    """Return True if a text with these terms says a piece exactly, False if only with a word that begins with it, and
    None if it does not say it."""
    accepted = one.accepted
    if terms.intersection(accepted):
        return True
    if any(is_unspaced(word) and word in unaccented(text) for word in accepted):
        return True
    begins = one.is_name and one.piece.finds_beginnings
    return False if begins and any(term.startswith(word) for term in terms for word in accepted) else None


def _weigh(part: Understood, said: Mapping[Piece, SaidBy]) -> float:
    """Return the log-odds to add for a photo that says these pieces of a part."""
    total = 0.0
    weight = sum(one.rarity for one in part.wanted if not one.is_name)
    for one in part.wanted:
        found = said.get(one.piece)
        if one.is_name:
            total += NOT_SAID if found is None else found.as_name
        elif found is not None:
            total += ALSO_SAID[found.said.source] * math.sqrt(one.rarity / weight)
    return total


def find_saying(parts: Sequence[Understood], weights: Sequence[float]) -> list[Ids]:
    """Return the contents that say some of the query, in groups that say equally much, the group that says most first.

    Rare words count most.
    """
    looked_for = [part for part, weight in zip(parts, weights, strict=True) if weight > 0]
    wanted = [one for part in looked_for for one in part.wanted if len(one.ids)]
    if not wanted:
        return []
    ids, indices = np.unique(np.concatenate([one.ids for one in wanted]), return_inverse=True)
    rarities = np.concatenate([np.full(len(one.ids), one.rarity) for one in wanted])
    total = np.bincount(indices, rarities).round(6)
    return [ids[total == one] for one in np.unique(total)[::-1]]


def gather(
    found: Sequence[Found], parts: Sequence[Understood], weights: Sequence[float], roots: Sequence[bytes]
) -> Evidence:
    """Gather the evidence of pictures for the parts of a query, each from the photo or near-duplicate that says most.

    The copy that says most of the first part with a positive weight is moved to the front of its picture.
    """
    added = np.zeros((len(parts), len(found)))
    by_photo: list[dict[FilePath, tuple[Said, ...]]] = []
    said: list[tuple[Said, ...]] = []
    may_say = [_may_say(part, found) for part in parts]
    main = next((number for number, weight in enumerate(weights) if weight > 0), None)
    for index, one in enumerate(found):
        of_item, of_photos = dict[Said, None](), dict[FilePath, dict[Said, None]]()
        for number, part in enumerate(parts):
            most, of_part, shown_first = _weigh(part, {}), dict[Piece, SaidBy](), 0
            for candidate in (one.candidate, *one.similar):
                if candidate.content_id not in may_say[number]:
                    continue
                for photo_index, (path, metadata) in enumerate(candidate.photos()):
                    by_this = _find_said(part.wanted, path_bytes(path), roots, metadata)
                    if weights[number] > 0:
                        of_photos.setdefault(path, {}).update(
                            dict.fromkeys(one_said for one_said, _ in by_this.values())
                        )
                    if (weight := _weigh(part, by_this)) > most:
                        most, of_part = weight, by_this
                        shown_first = photo_index if candidate is one.candidate else 0
            added[number, index] = most
            if weights[number] > 0:
                of_item |= dict.fromkeys(one_said for one_said, _ in of_part.values())
            if number == main and shown_first:
                one.candidate = one.candidate.shown_first(shown_first)
        said.append(tuple(of_item))
        by_photo.append({path: tuple(of_photo) for path, of_photo in of_photos.items()})
    return Evidence(np.array([[part.names_only] for part in parts]), added, said, by_photo)


def _may_say(part: Understood, found: Sequence[Found]) -> set[int]:
    """Return the content ids of the pictures that say a piece of a part, or may say one."""
    ids = np.array([candidate.content_id for one in found for candidate in (one.candidate, *one.similar)])
    if any(one.is_common for one in part.wanted):
        return set(ids.tolist())
    return {id_ for one in part.wanted for id_ in ids[np.isin(ids, one.ids)].tolist()}


def log_odds(probabilities: NDArray[np.floating]) -> LogOdds:
    """Return the log-odds of probabilities, clipped to finite values."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-7)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def probability(log_odds: float) -> float:
    """Return the probability of log-odds."""
    return float(np.exp(-np.logaddexp(0, -log_odds)))
