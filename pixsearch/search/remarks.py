"""What there is to say of a query beside its answer: how it was asked, and which of its words nobody knows."""

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
"""Characters of a text that are read for remarks."""
_MOST_LOOKED_UP, _MOST_SUGGESTED = 32, 8
"""Words of a text that are looked for in the library, and unknown ones of a query for which near ones are."""


_CONTRACTED = re.compile("\\w+n['\u2019]t\\b")


@dataclass(frozen=True, slots=True)
class Remarks:
    """How a query is asked, and what is odd about it."""

    asked: Query
    negations: Sequence[Negation] = ()
    """Its words that say what shall not be there, and how they are asked."""
    unknown_words: Sequence[str] = ()
    """Its words that neither the model was taught nor a photo says: what they find is a guess."""
    suggestions: Mapping[str, str] = field(default_factory=dict)
    """For some of these the nearest word that one of them knows."""
    language: str | None = None
    """Its language, where that is surely not English, which is what the model was taught."""

    def sentences(self) -> Iterator[str]:
        """Yield the remarks as people read them. In another language no word is known, which is not said of each."""
        yield from (_of_negation(negation) for negation in self.negations)
        if self.language is not None:
            yield f"the query looks like {self.language}; this model was taught English"
        elif self.unknown_words:
            yield f"the model was never taught {_listed([self._with_suggestion(word) for word in self.unknown_words])}"

    def _with_suggestion(self, word: str) -> str:
        nearest = self.suggestions.get(word)
        return f'"{word}"' if nearest is None else f'"{word}" (did you mean "{nearest}"?)'


def remarks_on(query: Query, library: Library, runtime: Runtime | None) -> Remarks:
    """Return the remarks on a query; without a model, which it needs to look at pixels, those on how it is asked.

    Raises UsageError as `without_negations` does.
    """
    taught = None if runtime is None else runtime.words_taught
    asked, negations = without_negations(query, library, taught)
    if runtime is None or query.literal or query.evidence == "says":
        return Remarks(asked, negations)
    said_by = library if query.evidence == "both" and query.rerank is not False else None
    unknown, language = dict[str, str](), None
    for part in query.words:
        text = part.text[:_LONGEST]
        of_part = list(_unknown_words(text, runtime, said_by))
        unknown.update((word.casefold(), word) for word in of_part if word.casefold() not in unknown)
        language = language or foreign_language(text, taught, of_part)
    suggestions = dict[str, str]()
    for word in list(unknown.values())[: _MOST_SUGGESTED if language is None else 0]:
        if (nearest := nearest_word(" ".join(words_of(word)), taught or {}, said_by)) is not None:
            suggestions[word] = nearest.capitalize() if word.istitle() else nearest
    return Remarks(asked, negations, tuple(unknown.values()), suggestions, language)


def _unknown_words(text: str, runtime: Runtime, library: Library | None) -> Iterator[str]:
    today = date.today()
    text = _CONTRACTED.sub(" ", without_phrases(text, today))
    for word in runtime.unknown_words(text)[:_MOST_LOOKED_UP]:
        pieces = [] if word.casefold() in VAGUE_WORDS else pieces_of(word, today)
        if pieces and not (library is not None and all(_is_said(piece, library) for piece in pieces)):
            yield word


def _is_said(piece: Piece, library: Library) -> bool:
    return len(library.contents_saying(ranges_of(piece, plurals=False), 1)) > 0


def _of_negation(negation: Negation) -> str:
    if not negation.less:
        return (
            f'"{negation.text}" is asked as it stands; to leave something out, say first what to look for, as in '
            '"a street, no people"'
        )
    asked = f'"{negation.asked}"' if negation.asked else "the rest"
    less = " and ".join(f'"{one}"' for one in negation.less)
    return f'"{negation.text}" is asked as {asked} less {less}; --literal asks for the words as they are'


def _listed(items: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
