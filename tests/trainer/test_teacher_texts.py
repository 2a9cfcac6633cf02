"""The bank of sentences for photos without captions."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from pixsearch.errors import DatasetError
from pixsearch_trainer.teacher_texts import read_texts, text_bank, vocabulary_prompts


def tokenizer(*words: str) -> Tokenizer:
    return Tokenizer(WordPiece({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))


def test_texts_are_the_lines_of_the_file_without_blanks(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_bytes("\ufeffa dog\r\n\r\n  a crème brûlée  \n\t\na cat".encode())

    assert read_texts(file) == ["a dog", "a crème brûlée", "a cat"]


@pytest.mark.parametrize("content", [None, b"", b"\n \n", "caf\u00e9".encode("latin-1")])
def test_a_file_without_sentences_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "texts.txt"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(DatasetError, match=r"texts\.txt.*--teacher-texts"):
        read_texts(file)


def test_prompts_are_made_of_whole_words_in_the_order_of_the_vocabulary() -> None:
    words = ["[PAD]", "[UNK]", "[unused1]", "!", "a", "of", "tree", "##tree", "1990", "été", "don't", "cat", "犬"]

    assert vocabulary_prompts(tokenizer(*words)) == ["a photo of a tree", "a photo of a cat"]
    with pytest.raises(DatasetError, match="--teacher-texts"):
        vocabulary_prompts(tokenizer("[UNK]", "a", "##b"))


def test_the_bank_is_the_captions_then_the_files_sentences_each_once_or_else_prompts(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("a bird\na cat\na bird\n")

    assert text_bank(["a dog", "a cat", "a dog"], file, tokenizer("tree")) == ["a dog", "a cat", "a bird"]
    assert text_bank([], file, tokenizer("tree")) == ["a bird", "a cat"]
    assert text_bank(["a dog"], None, tokenizer("tree")) == ["a dog"]
    assert text_bank([], None, tokenizer("tree")) == ["a photo of a tree"]
