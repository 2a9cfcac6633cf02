"""The words that a checkpoint knows: those of its training captions, counted in words.txt."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.regular_files import TEXT_LIMIT_BYTES, read_regular

WORDS_FILE = "words.txt"
"""The file in a checkpoint's folder with a word, a tab and its count on each line. Not part of the fingerprint."""

_ENDING = re.compile(r"(?<=\w)['\u2019]\w+")


def count_words(sentences: Iterable[str]) -> Counter[str]:
    """Count the words of sentences, case-folded and without accents. Numbers and the s of "dog's" are not words."""
    return Counter(_folded(word) for sentence in sentences for word in _words(sentence))


def unknown_words(text: str, taught: Mapping[str, int] | None) -> tuple[str, ...]:
    """Return the words of a text that the model does not know, each once, spelled as in the text.

    A word is known in its singular and its plural if either was taught. If no words were counted, none is unknown.
    """
    if not taught:
        return ()
    unknown: dict[str, str] = {}
    for word in _words(text):
        if not any(form in taught for form in forms_of(word)):
            unknown.setdefault(_folded(word), word)
    return tuple(unknown.values())


def read_words(folder: Path) -> dict[str, int] | None:
    """Read a checkpoint's words.txt; None if it has none. Raises CheckpointInvalid."""
    file = folder / WORDS_FILE
    try:
        lines = read_regular(file, TEXT_LIMIT_BYTES).decode().splitlines()
        return {word: int(count) for word, count in (line.split("\t") for line in lines)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointInvalid(f"{file} is not a list of words ({reason})", "Copy it again, or delete it") from error


def write_words(folder: Path, taught: Mapping[str, int]) -> None:
    """Write a checkpoint's words.txt, the most frequent word first."""
    lines = (f"{word}\t{count}\n" for word, count in sorted(taught.items(), key=lambda item: (-item[1], item[0])))
    write_durably(folder / WORDS_FILE, "".join(lines).encode())


def add_words(folder: Path, before: Mapping[str, int] | None, sentences: Iterable[str]) -> None:
    """Write the words.txt of a checkpoint that was trained on these sentences.

    `before` are the words of the checkpoint that training started from. If these are not known, nothing is written:
    words from the earlier training would be reported as unknown.
    """
    if before is not None:
        write_words(folder, Counter(before) + count_words(sentences))


def _words(text: str) -> list[str]:
    text = _ENDING.sub("", unicodedata.normalize("NFC", text))
    return "".join(letter if unicodedata.category(letter)[0] in "LM" else " " for letter in text).split()


def _folded(word: str) -> str:
    """Fold case and accents like the tokenizer."""
    return "".join(one for one in unicodedata.normalize("NFKD", word.casefold()) if unicodedata.category(one) != "Mn")


def forms_of(word: str) -> Iterator[str]:
    """Yield the word itself, and its possible singular and plural forms."""
    word = _folded(word)
    yield from (word, f"{word}s", f"{word}es")
    if word.endswith("y"):
        yield f"{word[:-1]}ies"
    for ending, singular in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        if word.endswith(ending) and not word.endswith("ss"):
            yield word.removesuffix(ending) + singular
