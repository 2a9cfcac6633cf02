"""Detect queries that are clearly not in English, for models that were trained on English captions.

A language is recognised by its script and its function words. Words that the model was trained on never count as
foreign, so a model that was trained on captions in several languages accepts all of these languages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from pixsearch.library.terms import words_of
from pixsearch.search.names import TAUGHT_FROM

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_SCRIPTS = {
    "Japanese": "[\u3041-\u3096\u30a1-\u30fa]",
    "Korean": "[\uac00-\ud7a3]",
    "Chinese": f"[的们這这]|[{_HAN}]{{5}}",
    "Chinese or Japanese": f"[{_HAN}]",
    "Ukrainian": "[їєґЇЄҐ]",
    "Russian": "[ыэёЫЭЁ]|\\b(?:и|на|над|в|под)\\b",
    "a language in Cyrillic letters": "[\u0400-\u052f]",
    "Greek": "[\u0370-\u03ff\u1f00-\u1fff]",
    "Hebrew": "[\u05d0-\u05ea]",
    "Arabic or Persian": "[\u0621-\u064a]",
    "Hindi": "[\u0904-\u0939]",
    "Thai": "[\u0e01-\u0e3a]",
}
"""A pattern for each language or script. Patterns are tried in this order, because some of them share letters."""

_WORDS = {
    "German": (
        "ein eine einen einem einer mit auf vor über zwischen neben ist sind zwei drei",
        "der die das den dem des im am zum beim vom und von unter",
    ),
    "French": (
        "un une avec dans devant est sont qui deux trois",
        "le la les du de des au aux sur sous en et ou",
    ),
    "Spanish": ("un una unos unas con junto está están tres", "el la los las de del al en sobre y por dos"),
    "Italian": ("un una con che sono tre", "il lo la gli di del della dei al alla sul sulla nel nella due e"),
    "Portuguese": ("um uma com está são duas três", "do da dos das de na nos nas em ao ou sobre e o"),
    "Dutch": ("een met zijn naast twee drie", "het de van op voor bij onder en boven"),
    "Swedish, Danish or Norwegian": (
        "ett på med är er två tre",
        "en et och og av af i den det vid ved över over under to",
    ),
    "Polish": ("w się jest są dwa dwie dwoje trzy przed obok", "na nad pod przy z ze i"),
}
"""Function words of each language: those that are rarely part of a name, then those that often are, as in "Rio de la
Plata"."""

_LETTERS = {
    "German": "äöüß",
    "French": "àâçèéêëîïôùûœ",
    "Spanish": "áéíñóú",
    "Italian": "àèéìòù",
    "Portuguese": "àáâãçéêíóôõú",
    "Dutch": "éëï",
    "Swedish, Danish or Norwegian": "åäöæøé",
    "Polish": "ąćęłńóśźż",
}
"""The non-English letters of each language. Text with any other non-English letter is not in that language."""
_ANOTHER = "a language other than English"

_LEAST_WORDS = 3
_ENGLISH = "the"


def foreign_language(text: str, taught: Mapping[str, int] | None, unknown: Sequence[str]) -> str | None:
    """Return the language of a query, or None if the query may be English or a name.

    Always return None if the model was not trained on English.

    Args:
        text: the query.
        taught: the number of times each word occurs in the model's training captions.
        unknown: the words of the query that occur neither in the training captions nor in the library.
    """
    if not taught or taught.get(_ENGLISH, 0) < TAUGHT_FROM:
        return None
    text = unicodedata.normalize("NFC", text)
    if (script := _script(text, unknown)) is not None:
        return None if any(re.search(_SCRIPTS[script], word) for word in taught) else script
    return _by_words(text, taught, unknown)


def _script(text: str, unknown: Sequence[str]) -> str | None:
    """Return the language of the script that most words are written in, or None if it is Latin."""
    foreign = [word for word in unknown if not _is_latin(word)]
    if 2 * len(foreign) <= len(text.split()):
        return None
    text = " ".join(foreign)
    return next((language for language, letters in _SCRIPTS.items() if re.search(letters, text)), None)


def _by_words(text: str, taught: Mapping[str, int], unknown: Sequence[str]) -> str | None:
    """Return the language of the function words, or two languages if it could be either; None if it is unclear."""
    words = set(words_of(text))
    untaught = {word for word in words if taught.get(word, 0) < TAUGHT_FROM}
    if len(words) < _LEAST_WORDS or 2 * len(untaught) < len(words):
        return None
    in_lower_case = {word for one in unknown if not one.istitle() for word in words_of(one)}
    letters = {letter for letter in text.casefold() if letter.isalpha() and not letter.isascii()}
    points = dict[str, int]()
    for language, (never_in_names, in_names) in _WORDS.items():
        certain, likely = untaught & set(words_of(never_in_names)), untaught & set(words_of(in_names))
        others = words - certain - likely
        are_no_name = bool(others & in_lower_case) and len(others - untaught) <= 1
        if letters <= set(_LETTERS[language]) and _is_sure(len(certain), len(likely), are_no_name * len(others)):
            points[language] = 2 * len(certain) + len(likely)
    best = [language for language in points if points[language] == max(points.values())]
    return {1: best[0], 2: " or ".join(best)}.get(len(best), _ANOTHER) if best else None


def _is_sure(certain: int, likely: int, others: int) -> bool:
    """Return whether a query is clearly in a language.

    Args:
        certain: the number of words of the language that are rarely part of a name.
        likely: the number of words of the language that are often part of a name.
        others: the number of other words, or 0 if they may be a name or the model knows more than one of them.
    """
    return certain >= 2 or (certain == 1 and (likely > 0 or others > 0)) or (likely >= 2 and others >= 3)


def _is_latin(word: str) -> bool:
    return all(unicodedata.name(one, "").startswith("LATIN") for one in word)
