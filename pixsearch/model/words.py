"""The words that a checkpoint knows. words.txt lists the words in its training captions with their counts."""

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
"""The name of the word list. Each line has a word, a tab and a count. The file is not part of the fingerprint."""

_ENDING = re.compile(r"(?<=\w)['\u2019]\w+")


def count_words(sentences: Iterable[str]) -> Counter[str]:
    """Count the words in sentences, case-folded and without accents. Numbers and the s in "dog's" are not words."""
    return Counter(_folded(word) for sentence in sentences for word in _words(sentence))


def unknown_words(text: str, taught: Mapping[str, int] | None) -> tuple[str, ...]:
    """Return the words in a text that the model does not know, each once, spelled as in the text.

    The singular and the plural of a word are both known if either was taught. If there are no counts, all words are
    assumed to be known.
    """
    if not taught:
        return ()
    unknown: dict[str, str] = {}
    for word in _words(text):
        if not any(form in taught for form in forms_of(word)):
            unknown.setdefault(_folded(word), word)
    return tuple(unknown.values())


def read_words(folder: Path) -> dict[str, int] | None:
    """Read a checkpoint's words.txt. Return None if there is none. Raises CheckpointInvalid."""
    file = folder / WORDS_FILE
    try:
        lines = read_regular(file, TEXT_LIMIT_BYTES).decode().splitlines()
        return {word: int(count) for word, count in (line.split("\t") for line in lines)}
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointInvalid(
            f"{file} is not a valid word list ({reason})", "Copy the file again or delete it"
        ) from error


def write_words(folder: Path, taught: Mapping[str, int]) -> None:
    """Write a checkpoint's words.txt with the most frequent words first."""
    lines = (f"{word}\t{count}\n" for word, count in sorted(taught.items(), key=lambda item: (-item[1], item[0])))
    write_durably(folder / WORDS_FILE, "".join(lines).encode())


def add_words(folder: Path, before: Mapping[str, int] | None, sentences: Iterable[str]) -> None:
    """Write words.txt for a checkpoint that was trained on these sentences.

    `before` contains the words that the checkpoint knew before this training. If it is None, nothing is written,
    because words from the earlier training would be reported as unknown.
    """
    if before is not None:
        write_words(folder, Counter(before) + count_words(sentences))


def _words(text: str) -> list[str]:
    text = _ENDING.sub("", unicodedata.normalize("NFC", text))
    return "".join(letter if unicodedata.category(letter)[0] in "LM" else " " for letter in text).split()


def _folded(word: str) -> str:
    """Fold case and remove accents, as the tokenizer does."""
    return "".join(one for one in unicodedata.normalize("NFKD", word.casefold()) if unicodedata.category(one) != "Mn")


def forms_of(word: str) -> Iterator[str]:
    """Yield a word and its possible singular and plural forms, case-folded and without accents."""
    word = _folded(word)
    yield from (word, f"{word}s", f"{word}es")
    if word.endswith("y"):
        yield f"{word[:-1]}ies"
    for ending, singular in (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe")):
        if word.endswith(ending) and not word.endswith("ss"):
            yield word.removesuffix(ending) + singular
