"""The words that a model knows, and unknown words in a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch.errors import CheckpointInvalid
from pixsearch.model.words import add_words, count_words, read_words, unknown_words, write_words

TAUGHT = {"a": 9, "dog": 4, "cherries": 1, "knife": 1, "boxes": 1, "cafe": 1, "berry": 1, "the": 5}


def test_words_are_counted_without_case_accents_numbers_and_punctuation() -> None:
    counted = count_words(["A dog's Café, 2 dogs!", "the cafe\u0301 - dog/dog"])

    assert counted == {"a": 1, "dog": 3, "cafe": 2, "dogs": 1, "the": 1}


def test_the_most_frequent_word_comes_first_and_equal_ones_in_order(tmp_path: Path) -> None:
    write_words(tmp_path, {"dog": 2, "cat": 2, "a": 7})

    assert (tmp_path / "words.txt").read_text() == "a\t7\ncat\t2\ndog\t2\n"
    assert read_words(tmp_path) == {"a": 7, "cat": 2, "dog": 2}


@pytest.mark.parametrize(
    "known", ["a Dog", "the dogs", "cherry", "cherries", "knives", "box", "café", "CAFE", "berries", "3 dog's"]
)
def test_a_word_is_known_in_any_case_and_in_singular_and_plural(known: str) -> None:
    assert unknown_words(known, TAUGHT) == ()


def test_unknown_words_are_listed_once_as_written() -> None:
    assert unknown_words("a Zorilla, the zorilla's dog and 桜", TAUGHT) == ("Zorilla", "and", "桜")
    assert unknown_words("glass", {"glas": 1}) == ("glass",)


@pytest.mark.parametrize("taught", [None, {}])
def test_without_counted_words_none_is_unknown(taught: dict[str, int] | None) -> None:
    assert unknown_words("a zorilla", taught) == ()


def test_the_words_of_a_run_are_added_to_those_of_its_starting_point(tmp_path: Path) -> None:
    add_words(tmp_path, {"dog": 2, "cat": 1}, ["a dog", "a DOG"])

    assert read_words(tmp_path) == {"dog": 4, "a": 2, "cat": 1}


def test_nothing_is_written_if_the_words_of_the_starting_point_are_unknown(tmp_path: Path) -> None:
    add_words(tmp_path, None, ["a dog"])

    assert read_words(tmp_path) is None


@pytest.mark.parametrize("content", [b"dog\n", b"dog\tmany\n", b"\xff\t1\n"])
def test_a_damaged_list_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "words.txt").write_bytes(content)

    with pytest.raises(CheckpointInvalid, match=r"words\.txt is not a valid word list") as refused:
        read_words(tmp_path)
    assert "\n" not in str(refused.value)
