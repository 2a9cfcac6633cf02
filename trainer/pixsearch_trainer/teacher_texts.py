"""The sentences by which a teacher describes photos that have no caption."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from pixsearch.errors import DatasetError

_FEWEST_LETTERS = 3


def text_bank(captions: Iterable[str], file: Path | None, tokenizer: Tokenizer) -> list[str]:
    """Return the captions of the other data, then the sentences of `file`, none twice; prompts of the vocabulary where
    there are neither.

    Raises:
        DatasetError: the file cannot be read, or there are no words to make prompts from.
    """
    sentences = dict.fromkeys([*captions, *(read_texts(file) if file is not None else ())])
    return list(sentences) or vocabulary_prompts(tokenizer)


def read_texts(file: Path) -> list[str]:
    """Read the sentences of a UTF-8 file, one a line, in its order, without empty lines.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8, or holds no sentence.
    """
    hint = "Provide a text file with one sentence a line as --teacher-texts"
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"cannot read {file} ({error.strerror})", hint) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8 text (byte {error.start})", hint) from error
    sentences = [text for line in lines if (text := line.strip())]
    if not sentences:
        raise DatasetError(f"{file} holds no sentence", hint)
    return sentences


def vocabulary_prompts(tokenizer: Tokenizer) -> list[str]:
    """Return "a photo of a {word}" for each whole word of a WordPiece vocabulary, in its order.

    A word has three letters or more, all ASCII: shorter ones can hardly be told from beginnings of words.

    Raises:
        DatasetError: there is no such word.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    words = [
        word
        for word in sorted(vocabulary, key=vocabulary.__getitem__)
        if word.isascii() and word.isalpha() and len(word) >= _FEWEST_LETTERS
    ]
    if not words:
        raise DatasetError("the tokenizer has no whole words to make prompts from", "Use --teacher-texts")
    return [f"a photo of a {word}" for word in words]
