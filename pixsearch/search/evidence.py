"""Combine the evidence for a hit into one score: what the photo shows (its pixels) and what it mentions.

A photo mentions a word if its metadata, file name or folders contain it. The words of a query are used as follows:

1. Words that only metadata can match are *names*: dates; words that the model has hardly ever seen, if a photo in the
   library mentions them; capitalised words that are the name of a person or a place in the library; and numbers and
   ratings, if they are next to a name or no other words are left. Names are removed from the text, and the rest is
   compared with the pixels.
2. The log-odds of a photo are the log-odds that it shows the rest, or `SHOWN` if no text is left, plus a term for each
   name: `NAMED`, which depends on the source that contains the name, or `NOT_SAID`.
3. Words that the model was trained on are compared with the pixels. If a photo also mentions such a word, `ALSO_SAID`
   is added to the log-odds. It depends on the source, and is scaled by the square root of the word's share of the total
   rarity of these words (weights of evidence: I. J. Good, Probability and the Weighing of Evidence, 1950). A word in
   the name of a person, a place or a camera counts only if the query has the whole name: Long Beach is not a beach
   (`is_whole`).

The weights were chosen with the queries in benchmarks/says_and_shows.py. Alternatives are described in docs/history.md.
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
"""The log-odds that a photo shows a query that consists only of names."""
NOT_SAID = -6.0
"""Log-odds added for a name that the photo does not mention."""
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
"""Log-odds added for a name that a photo mentions, by source. Text written to help find this photo counts most."""
DECISIVE = 3.0
"""The minimum log-odds that count for a model without probabilities: a probability of 95%."""
BEGINNING = -0.5
"""Log-odds added if the query contains only the beginning of the word."""
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
"""Log-odds added for known words that a photo mentions, by source.

Folders and cameras count least: they are shared by many photos, and most of these show something else."""


class SaidBy(NamedTuple):
    """A piece of a query and the text that contains it."""

    said: Said
    is_exact: bool
    """False if the text only contains a word that begins with the piece."""

    @property
    def as_name(self) -> float:
        """The log-odds to add if the piece is a name."""
        return NAMED[self.said.source] + (0.0 if self.is_exact else BEGINNING)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence for each part of a query in the text of each candidate."""

    names_only: NDArray[np.bool_]  # [parts, 1], True if the part has nothing to compare with the pixels
    added: LogOdds  # [parts, items]
    said: Sequence[tuple[Said, ...]]  # [items], combined from all photos and near-duplicates of the item
    by_photo: Sequence[Mapping[FilePath, tuple[Said, ...]]]  # [items]

    def log_odds(self, shows: NDArray[np.floating], weights: Sequence[float]) -> LogOdds:
        """Return the log-odds [items] that a picture matches all parts with a positive weight and no others.

        The probability is the product of the probabilities of the parts, each raised to the power of its weight.

        Args:
            shows: the log-odds [parts, items] that the pixels show the part.
            weights: the weight of each part [parts].
        """
        parts = np.where(self.names_only, SHOWN, shows) + self.added
        if list(weights) == [1.0]:  # the general formula would lose digits
            return np.asarray(parts[0], np.float64)
        total = np.zeros(shows.shape[1])
        for part, weight in zip(parts, weights, strict=True):
            total -= abs(weight) * np.logaddexp(0, -part if weight > 0 else part)
        return np.asarray(total - np.log(-np.expm1(np.minimum(total, -1e-12))))

    def added_to_all(self, weights: Sequence[float]) -> LogOdds:
        """Return the weighted sum [items] of the decisive evidence, for models without probabilities.

        Evidence is decisive if it is strong enough to include or rule out a photo by itself.
        """
        return np.asarray(np.array(weights) @ np.where(abs(self.added) >= DECISIVE, self.added, 0))


def _find_said(
    wanted: Sequence[Wanted], path: bytes, roots: Sequence[bytes], metadata: Metadata
) -> dict[Piece, SaidBy]:
    """Return the pieces of a query that a photo mentions, each with the source that counts most."""
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
    """Return True if a text with these terms contains a piece, False if it only contains a word that begins with the
    piece, or None if it contains neither."""
    accepted = one.accepted
    if terms.intersection(accepted):
        return True
    if any(is_unspaced(word) and word in unaccented(text) for word in accepted):
        return True
    begins = one.is_name and one.piece.finds_beginnings
    return False if begins and any(term.startswith(word) for term in terms for word in accepted) else None


def _weigh(part: Understood, said: Mapping[Piece, SaidBy]) -> float:
    """Return the log-odds to add for a photo that mentions the given pieces of a part."""
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
    """Return the ids of the pictures that mention any words of the query, in groups with the same total rarity.

    The group that mentions the most and rarest words comes first.
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
    """Return the evidence for each picture and each part of a query.

    The evidence comes from the copy or near-duplicate of the picture that best matches the part. If one of the copies
    best matches the first part with a positive weight, `found` is updated to show that copy first.
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
    """Return the content ids of the pictures that may mention a piece of a part."""
    ids = np.array([candidate.content_id for one in found for candidate in (one.candidate, *one.similar)])
    if any(one.is_common for one in part.wanted):
        return set(ids.tolist())
    return {id_ for one in part.wanted for id_ in ids[np.isin(ids, one.ids)].tolist()}


def log_odds(probabilities: NDArray[np.floating]) -> LogOdds:
    """Convert probabilities to log-odds, clipped to finite values."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-7)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def probability(log_odds: float) -> float:
    """Convert log-odds to a probability."""
    return float(np.exp(-np.logaddexp(0, -log_odds)))
