"""Suggest a word for an unknown one: the nearest word that the model was taught or that a photo says.

Near is a letter that is wrong, missing, doubled or one too many, or two that changed places (F. J. Damerau, 1964); in a
long word two such, in a short one only what changed places or was doubled. The first letter is right, or changed places
with the second: people seldom miss it, and a zorilla is no gorilla. F and ph, and c and k, are taken for one another.
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
"""Letters of a word that may have a wrong one. The known ones near shorter words have to be frequent too."""
_FREQUENT = 100
_TWICE_FROM = 7
"""Letters of a word that may be wrong in two places."""
_SAME_BEGINNING = 3
"""Letters that what a photo says shares with a word that is wrong in two places: all that begin so are read."""
_MOST_READ = 2000
_SOUNDS = (("f", "ph"), ("ph", "f"), ("c", "k"), ("k", "c"))


def nearest_word(word: str, taught: Mapping[str, int], library: Library | None) -> str | None:
    """Return the known word that is nearest to an unknown one, both folded as terms are; None where none is near.

    Of equally near ones the most taught, then the first that a photo says, by its letters.
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
    if library is not None and (said := library.first_term_among(sorted(once))) is not None:
        return said
    if len(word) < _TWICE_FROM:
        return None
    frequent = (one for one, count in taught.items() if count >= TAUGHT_FROM and one[0] == word[0])
    if near := list(_within_two(word, frequent)):
        return max(near, key=lambda one: (taught[one], one))
    said_so = () if library is None else library.terms_beginning(word[:_SAME_BEGINNING], _MOST_READ)
    return min(_within_two(word, said_so), default=None)


def _mistyped(word: str) -> Iterator[str]:
    """Yield a word with two neighbours changed, with a letter doubled that was not or the reverse, and by its sound."""
    for at, letter in enumerate(word):
        yield f"{word[:at]}{letter}{word[at:]}"
        if word[at : at + 2] == 2 * letter:
            yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
        for sound, same in _SOUNDS:
            if word.startswith(sound, at):
                yield word[:at] + same + word[at + len(sound) :]


def _changed(word: str) -> Iterator[str]:
    """Yield a word with a letter less, another or more behind its first."""
    letters = {*ascii_lowercase, *word}
    for at in range(1, len(word) + 1):
        before, behind = word[:at], word[at:]
        if behind:
            yield before + behind[1:]
        for letter in letters:
            yield f"{before}{letter}{behind}"
            yield f"{before}{letter}{behind[1:]}"


def _within_two(word: str, others: Iterable[str]) -> Iterator[str]:
    """Yield those of other words that differ from a word in two places at most, but not Hamburger for Hamburg."""
    letters = set(word)
    for other in others:
        is_like = abs(len(other) - len(word)) <= 2 and len(letters.symmetric_difference(other)) <= 4
        if is_like and not other.startswith(word) and _distance(word, other) <= 2:
            yield other


def _distance(word: str, other: str) -> int:
    """Return how many letters are to be changed, added, left out or swapped with the next to make a word of another."""
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
