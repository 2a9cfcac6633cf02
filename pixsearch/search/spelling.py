"""Suggest a correction for an unknown word: the nearest word that the model knows or a photo mentions.

A word is near if one letter is wrong, missing or extra, or two letters are swapped (F. J. Damerau, 1964). Long words
may have two of these errors. Short words may only have swapped or doubled letters. The first letter must be right or
swapped with the second, because people seldom get it wrong, and a zorilla is not a gorilla. F and ph are
interchangeable, and so are c and k.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from string import ascii_lowercase

from pixsearch.library.library import Library
from pixsearch.library.terms import is_unspaced
from pixsearch.search.names import TAUGHT_FROM

_SHORTEST = 3
_LONGEST = 32
_ANY_LETTER_FROM = 5
"""The minimum length of a word that may have a wrong letter. Suggestions for shorter words must also be frequent."""
_FREQUENT = 100
_TWICE_FROM = 7
"""The minimum length of a word that may have two errors."""
_SAME_BEGINNING = 3
"""The number of leading letters that a word with two errors must share with a word that a photo mentions."""
_MOST_READ = 2000
_SOUNDS = (("f", "ph"), ("ph", "f"), ("c", "k"), ("k", "c"))


def nearest_word(word: str, taught: Mapping[str, int], library: Library | None) -> str | None:
    """Return the known word nearest to an unknown word, or None if none is near. Both are folded like index terms.

    Ties go to the word that is most frequent in the training captions. Words that occur only in the library are taken
    in alphabetical order.
    """
    if not _SHORTEST <= len(word) <= _LONGEST or is_unspaced(word):
        return None
    is_short = len(word) < _ANY_LETTER_FROM
    once = set(_mistyped(word))
    if not is_short:
        once.update(_changed(word))
    once.discard(word)
    least = _FREQUENT if is_short else TAUGHT_FROM
    if near := [one for one in once if taught.get(one, 0) >= least]:
        return max(near, key=lambda one: (taught[one], one))
    if library is not None and (term := library.first_term_among(sorted(once))) is not None:
        return term
    if len(word) < _TWICE_FROM:
        return None
    frequent = (one for one, count in taught.items() if count >= TAUGHT_FROM and one[0] == word[0])
    if near := list(_within_two(word, frequent)):
        return max(near, key=lambda one: (taught[one], one))
    terms = () if library is None else library.terms_beginning(word[:_SAME_BEGINNING], _MOST_READ)
    return min(_within_two(word, terms), default=None)


def _mistyped(word: str) -> Iterator[str]:
    """Yield variants of a word with swapped letters, with a letter doubled or undoubled, or with a similar sound."""
    for at, letter in enumerate(word):
        yield f"{word[:at]}{letter}{word[at:]}"
        if word[at : at + 2] == 2 * letter:
            yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
        for sound, same in _SOUNDS:
            if word.startswith(sound, at):
                yield word[:at] + same + word[at + len(sound) :]


def _changed(word: str) -> Iterator[str]:
    """Yield variants of a word with one letter removed, replaced or inserted after the first letter."""
    letters = {*ascii_lowercase, *word}
    for at in range(1, len(word) + 1):
        before, after = word[:at], word[at:]
        if after:
            yield before + after[1:]
        for letter in letters:
            yield f"{before}{letter}{after}"
            yield f"{before}{letter}{after[1:]}"


def _within_two(word: str, others: Iterable[str]) -> Iterator[str]:
    """Yield the words within two errors of a word, except those that only extend it, like Hamburger for Hamburg."""
    letters = set(word)
    for other in others:
        is_like = abs(len(other) - len(word)) <= 2 and len(letters.symmetric_difference(other)) <= 4
        if is_like and not other.startswith(word) and _distance(word, other) <= 2:
            yield other


def _distance(word: str, other: str) -> int:
    """Return the minimum number of replacements, insertions, deletions and swaps that turn one word into the other."""
    above, row = list[int](), list(range(len(other) + 1))
    for down, letter in enumerate(word):
        below = [down + 1]
        for right, another in enumerate(other):
            least = min(row[right] + (letter != another), row[right + 1] + 1, below[right] + 1)
            if down and right and word[down - 1 : down + 1] == other[right - 1 : right + 1][::-1]:
                least = min(least, above[right - 1] + 1)
            below.append(least)
        above, row = row, below
    return row[-1]
