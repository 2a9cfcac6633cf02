"""Handle negations: "a street without people" becomes a search for "a street" with "people" as a negative part.

The rules:

1. A negation begins with "without", "with no", "has no", "but no", "but not" or "except", with "not" before an
   article, or with "no" or "not" after a comma. Apart from rule 2, nothing else is a negation: quoted text,
   "do not touch" and "a cat not on a sofa" are not.
2. A "no" between two words is a negation only if the model knows both words, which means that the text is English: "a
   beach no people", but not "Tonari no Totoro".
3. Prohibitions on signs, like "no parking", are not negations. Neither is a "no" in a query that mentions a sign, nor a
   phrase that a photo's metadata, file name or folders contain word for word.
4. A negation ends at a comma, at "but with", before a date, and before a place or a time. Dates, places and times
   belong to the rest of the query: "a street without people at night" is "a street at night" without "people". "Or" and
   "and" start another negation. The negated words must be a short noun phrase, and the query must not be a long
   sentence; otherwise, the text is searched literally.
5. A query that consists only of negations is an error. However, if it contains "no", it may be the text of a sign and
   is searched literally.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import UsageError
from pixsearch.library.library import Library
from pixsearch.library.terms import exactly, texts_of, words_of
from pixsearch.metadata import Metadata
from pixsearch.search.dates_in_words import find_dates
from pixsearch.search.names import TAUGHT_FROM
from pixsearch.search.query import Query, Words
from pixsearch.search.wording import STOP_WORDS, VAGUE_WORDS
from pixsearch.storage import FilePath, path_bytes

_MOST_WORDS = 12
"""The maximum number of words in a query with negations. In a longer one, it is unclear what a negation applies to."""
_LONGEST = 500
"""The maximum number of characters in a query with negations."""
_MOST_LEFT_OUT = 4
_MOST_WORDS_LEFT_OUT = 3
_MOST_READ = 256
_MOST_SAYING = 20_000

_WORDS_OF = {
    "signs": "sign signs notice notices poster placard banner label sticker says saying reads",
    "bans": """access admittance biking camping climbing cycling diving dumping entrance entry exit fishing hawkers
        hunting left litter littering loitering overtaking parking photography right skateboarding skating smoking
        soliciting standing stopping swimming thoroughfare trespassers trespassing turn turns u uturn vacancies vacancy
        waiting""",
    "prepositions": """across after against along around at before behind below beneath beside between by during from in
        inside near next on outside over through under where while""",
    "possessives": "it its them their him his her",
    "verbs": "is are was were be am do does did can could should will would must may",
    "connectives": "and but or nor with that which who where there is are was were has have having wearing yet",
}
_SIGNS, _BANS, _PREPOSITIONS, _POSSESSIVES, _VERBS, _CONNECTIVES = (
    frozenset(words.split()) for words in _WORDS_OF.values()
)
_ARTICLES = frozenset(("a", "an", "the", "any"))
_COMMAS = frozenset(",;")
_NEGATING = frozenset(("no", "not", "without"))

_TOKEN = re.compile(r"[,;]|[^\s,;]+")
_QUOTES = re.compile('["\u201c\u201d\u201e«»]')
_ASIDE = re.compile(r"[()\[\]]|(?<!\S)[-\u2013\u2014]+(?!\S)|\u2014")
"""Punctuation that is treated like a comma."""
_NOBODY = re.compile(r"\b(?:nobody|no[ -]one)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Negation:
    """A text with negations, and how it is interpreted."""

    text: str
    asked: str
    """The text to search for; empty if only the other parts of the query are searched for."""
    less: tuple[str, ...]
    """The negated phrases, which photos must not match; empty if the text is searched literally."""


@dataclass(frozen=True, slots=True)
class _Cut:
    """A text split at its negations."""

    wanted: str
    less: tuple[str, ...]
    may_be_a_sign: bool
    """True if it may be the text of a sign: "no dogs"."""
    phrases: Sequence[str]
    """The negated phrases. If a photo's text contains one of them word for word, there is no negation."""


def without_negations(
    query: Query, library: Library, taught: Mapping[str, int] | None
) -> tuple[Query, tuple[Negation, ...]]:
    """Return the query with negated phrases as separate parts with a negative weight, and the negations.

    Args:
        query: the query.
        library: the library, whose photos may contain a phrase like "no smoking" word for word.
        taught: the number of times each word occurs in the model's training captions; None if unknown.

    Raises UsageError if nothing is left to search for.
    """
    if query.literal:
        return query, ()
    parts, negations = [], []
    for part in query.parts:
        if not isinstance(part, Words) or part.weight < 0:
            parts.append(part)
            continue
        others = any(other is not part and other.weight > 0 for other in query.parts)
        negation = _negation(part.text, library, taught, is_alone=not others)
        if negation is None or not negation.less:
            parts.append(part)
        else:
            parts += [Words(text, part.weight) for text in filter(None, [negation.asked])]
            parts += [Words(text, -part.weight) for text in negation.less]
        if negation is not None:
            negations.append(negation)
    return replace(query, parts=tuple(parts)), tuple(negations)


def _negation(text: str, library: Library, taught: Mapping[str, int] | None, *, is_alone: bool) -> Negation | None:
    cut = _cut(text, taught)
    if cut is None or any(_is_said_by_a_photo(library, phrase) for phrase in cut.phrases):
        return None
    if cut.wanted or not is_alone:
        return Negation(text, cut.wanted, cut.less)
    if cut.may_be_a_sign:
        return Negation(text, text, ())
    raise UsageError(
        f'"{text}" leaves nothing to search for',
        f'Describe what to search for, e.g. "a street without {cut.less[0]}", or use --literal',
    )


def _cut(text: str, taught: Mapping[str, int] | None) -> _Cut | None:
    """Split a text at its negations. Return None if there are none, or if it is unclear what one of them applies to."""
    if len(text) > _LONGEST or _QUOTES.search(text):
        return None
    text = _ASIDE.sub(",", _NOBODY.sub("no people", text))
    tokens = list(_TOKEN.finditer(text))
    given = [token[0] for token in tokens]
    words = [token[0].lower().strip(".!?:'\u2019") for token in tokens]
    if len(words) > _MOST_WORDS:
        return None
    dates = {found.start for found in find_dates(text, date.today())}
    wanted, less, phrases, may_be_a_sign = list[str](), list[list[str]](), list[str](), False
    part, at = wanted, 0
    while at < len(words):
        word, next_is_negation = words[at], _negation_at(words, at + 1, taught)
        if length := _negation_at(words, at, taught):
            if part is wanted:
                while wanted and wanted[-1].lower() in _CONNECTIVES | _COMMAS:
                    wanted.pop()
            may_be_a_sign |= "no" in words[at : at + length] or (word == "not" and words[at + 1] not in _ARTICLES)
            before = wanted[-1:] if word not in ("no", "not") else []
            phrases.append(" ".join([*before, *words[at : at + length], *_through_first_noun(words[at + length :])]))
            less.append(part := [])
            at += length
            continue
        if less and word in _VERBS:
            return None
        if part is wanted:
            part.append(given[at])
        elif word in _COMMAS:
            if not next_is_negation:
                if _is_list(words[at + 1 :]):
                    less.append(part := [])
                else:
                    (part := wanted).append(",")
        elif word in ("or", "nor", "and", "but"):
            if next_is_negation:
                pass
            elif word == "but" or words[at + 1 : at + 2] == ["with"]:
                part = wanted
            else:
                less.append(part := [])
        elif tokens[at].start() in dates or (word in _PREPOSITIONS and _describes_whole_picture(words[at + 1 :])):
            (part := wanted).append(given[at])
        else:
            part.append(given[at])
        at += 1
    while wanted and wanted[0].lower() in _CONNECTIVES | _COMMAS:
        wanted.pop(0)
    while wanted and wanted[-1] in _COMMAS:
        wanted.pop()
    left_out = [_trimmed(one) for one in less]
    if not 0 < len(left_out) <= _MOST_LEFT_OUT or not all(_is_noun_phrase(one) for one in left_out):
        return None
    asked = " ".join(wanted).replace(" ,", ",") if _is_searchable(wanted) else ""
    return _Cut(asked, tuple(" ".join(one) for one in left_out), may_be_a_sign, phrases)


def _negation_at(words: Sequence[str], at: int, taught: Mapping[str, int] | None) -> int:
    """Return the number of words that form the negation at an index, or 0 if there is none."""
    word, following = words[at] if at < len(words) else "", words[at + 1 : at + 2]
    if word in ("without", "w/o", "excluding"):
        return 1
    if word == "except":
        return 2 if following == ["for"] else 1
    if word in ("with", "has", "have", "having", "is", "are", "but") and following == ["no"]:
        return 2 if not _is_banned_on_signs(words, at + 2) else 0
    if word == "but" and following == ["not"]:
        return 2
    if word not in ("no", "not") or not following or _SIGNS.intersection(words) or _is_banned_on_signs(words, at + 1):
        return 0
    before = words[at - 1] if at else ","
    if following[0].isdecimal() or following[0] in _PREPOSITIONS:
        return 0
    if following[0] in STOP_WORDS and not (word == "not" and following[0] in _ARTICLES):
        return 0
    if before in _COMMAS or before in ("and", "or", "nor"):
        return 1
    if word == "not":
        return 1 if following[0] in _ARTICLES and before not in _VERBS else 0
    is_english = taught is not None and all(taught.get(one, 0) >= TAUGHT_FROM for one in (before, *following))
    return 1 if is_english and before not in STOP_WORDS else 0


def _is_banned_on_signs(words: Sequence[str], at: int) -> bool:
    return any(word in _BANS for word in words[at : at + 1])


def _is_list(words: Sequence[str]) -> bool:
    """Return whether words after a comma continue a list, like "cars or dogs" in "people, cars or dogs"."""
    end = next((at for at, word in enumerate(words) if word in _COMMAS), len(words))
    return "or" in words[:end] or "nor" in words[:end] or (end < len(words) and _is_list(words[end + 1 :]))


def _describes_whole_picture(words: Sequence[str]) -> bool:
    """Return whether a place or time describes the whole picture ("the street"), unlike "its mouth"."""
    end = next((at for at, word in enumerate(words) if word in _COMMAS), len(words))
    is_doing = words[:end] and words[0].endswith("ing")
    return _is_searchable(words[:end]) and not is_doing and not _POSSESSIVES.intersection(words[:end])


def _is_searchable(words: Sequence[str]) -> bool:
    return any(word not in VAGUE_WORDS for one in words for word in words_of(one))


def _through_first_noun(words: Sequence[str]) -> Sequence[str]:
    return words[: next((at for at, word in enumerate(words) if _is_searchable([word])), 0) + 1]


def _is_noun_phrase(words: Sequence[str]) -> bool:
    """Return whether words look like a noun with at most two words before it. This is a guess; there is no parser."""
    after_article = words[1:] if words[:1] and words[0].lower() in _ARTICLES else words
    if any(word.endswith("ing") for word in after_article[1:]):
        return False
    return 0 < len(after_article) <= _MOST_WORDS_LEFT_OUT and all(_is_searchable([one]) for one in after_article)


def _trimmed(words: Sequence[str]) -> list[str]:
    """Return words without vague words at both ends, but keep an article at the front."""
    words = [word.rstrip(".?!") for word in words]
    while words and not _is_searchable(words[-1:]):
        words.pop()
    while words and not _is_searchable(words[:1]) and (words[0].lower() not in ("a", "an") or len(words) == 1):
        words.pop(0)
    return words


def _is_said_by_a_photo(library: Library, phrase: str) -> bool:
    """Return whether the metadata, file name or folders of any photo contain a phrase word for word."""
    words = words_of(phrase)
    rare_first = sorted(set(words) - STOP_WORDS, key=len, reverse=True)
    ids: NDArray[np.int64] | None = None
    for word in [*rare_first, *_NEGATING.intersection(words)]:
        saying = library.contents_saying([exactly(word)], _MOST_SAYING)
        ids = saying if ids is None else np.intersect1d(ids, saying, assume_unique=True)
        if not len(ids):
            return False
    found = [] if ids is None else library.candidates(ids[:_MOST_READ].tolist())
    return any(
        _contains(text, words)
        for one in found
        for path, metadata in one.photos()
        for text in _texts_by_source(path, metadata)
    )


def _texts_by_source(path: FilePath, metadata: Metadata) -> Iterator[list[str]]:
    """Yield the words of a photo's text, one list per source."""
    for texts in texts_of(path_bytes(path), b"/", metadata).values():
        yield [word for text in texts for word in words_of(text)]


def _contains(words: Sequence[str], phrase: Sequence[str]) -> bool:
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1))
