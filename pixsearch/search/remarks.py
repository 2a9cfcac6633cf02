"""Remarks on a query: its negations, its unknown words and its language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from pixsearch.library.library import Library
from pixsearch.library.terms import words_of
from pixsearch.search.language import foreign_language
from pixsearch.search.names import ranges_of
from pixsearch.search.negation import Negation, without_negations
from pixsearch.search.query import Query
from pixsearch.search.runtime import Runtime
from pixsearch.search.spelling import nearest_word
from pixsearch.search.wording import VAGUE_WORDS, Piece, pieces_of, without_phrases

_LONGEST = 2000
"""The maximum number of characters of a text that are checked."""
_MOST_LOOKED_UP, _MOST_SUGGESTED = 32, 8
"""The maximum number of words to look up in the library per text, and the maximum number of suggestions per query."""

_CONTRACTED = re.compile("\\w+n['\u2019]t\\b")


@dataclass(frozen=True, slots=True)
class Remarks:
    """Remarks on a query."""

    query: Query
    """The query that is run, with its negations as parts with a negative weight."""
    negations: Sequence[Negation] = ()
    """The negations in the query, and how they were interpreted."""
    unknown_words: Sequence[str] = ()
    """The words that the model does not know and no photo mentions. Hits for them are a guess."""
    suggestions: Mapping[str, str] = field(default_factory=dict)
    """The nearest known word for each unknown word, if there is one."""
    language: str | None = None
    """The language of the query if it is clearly not English and the model was trained on English; otherwise None."""

    def sentences(self) -> Iterator[str]:
        """Yield the remarks as sentences. Unknown words are not listed if the query is in a foreign language."""
        yield from (_negation_sentence(negation) for negation in self.negations)
        if self.language is not None:
            yield f"the query looks like {self.language}; this model was trained on English"
        elif self.unknown_words:
            yield f"the model does not know {_listed([self._with_suggestion(word) for word in self.unknown_words])}"

    def _with_suggestion(self, word: str) -> str:
        nearest = self.suggestions.get(word)
        return f'"{word}"' if nearest is None else f'"{word}" (did you mean "{nearest}"?)'


def remarks_on(query: Query, library: Library, runtime: Runtime | None) -> Remarks:
    """Return the remarks on a query. Without a model, only negations are reported.

    Raises UsageError if nothing is left to search for.
    """
    taught = None if runtime is None else runtime.words_taught
    positive, negations = without_negations(query, library, taught)
    if runtime is None or query.literal or query.evidence == "says":
        return Remarks(positive, negations)
    source = library if query.evidence == "both" and query.rerank is not False else None
    unknown, language = dict[str, str](), None
    for part in query.words:
        text = part.text[:_LONGEST]
        of_part = list(_unknown_words(text, runtime, source))
        unknown.update((word.casefold(), word) for word in of_part if word.casefold() not in unknown)
        language = language or foreign_language(text, taught, of_part)
    suggestions = dict[str, str]()
    for word in list(unknown.values())[: _MOST_SUGGESTED if language is None else 0]:
        if (nearest := nearest_word(" ".join(words_of(word)), taught or {}, source)) is not None:
            suggestions[word] = nearest.capitalize() if word.istitle() else nearest
    return Remarks(positive, negations, tuple(unknown.values()), suggestions, language)


def _unknown_words(text: str, runtime: Runtime, library: Library | None) -> Iterator[str]:
    today = date.today()
    text = _CONTRACTED.sub(" ", without_phrases(text, today))
    for word in runtime.unknown_words(text)[:_MOST_LOOKED_UP]:
        pieces = [] if word.casefold() in VAGUE_WORDS else pieces_of(word, today)
        if pieces and not (library is not None and all(_is_in_library(piece, library) for piece in pieces)):
            yield word


def _is_in_library(piece: Piece, library: Library) -> bool:
    return len(library.contents_saying(ranges_of(piece, plurals=False), 1)) > 0


def _negation_sentence(negation: Negation) -> str:
    if not negation.less:
        return (
            f'"{negation.text}" is searched for as written; to exclude something, describe the photo first, as in '
            '"a street, no people"'
        )
    positive = f'"{negation.asked}"' if negation.asked else "the rest of the query"
    negative = " and ".join(f'"{one}"' for one in negation.less)
    return f'"{negation.text}" is read as {positive} without {negative}; use --literal to search for it as written'


def _listed(items: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
