"""The nearest known word. Each example's errors were counted by hand: wrong, missing, extra or swapped letters."""

from __future__ import annotations

import pytest

from pixsearch import Library
from pixsearch.metadata import Metadata
from pixsearch.search.spelling import nearest_word
from tests.library.described_photos import store

TAUGHT = {
    "bicycle": 536,
    "bicycles": 40,
    "dog": 7166,
    "bird": 400,
    "house": 500,
    "horse": 900,
    "elephant": 256,
    "elegant": 18,
    "camera": 300,
    "restaurant": 215,
    "sunset": 300,
    "gorilla": 60,
    "gun": 28,
    "next": 1450,
    "bottle": 300,
    "mountian": 2,
    "hamburger": 22,
}


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("bycicle", "bicycle"),  # two wrong letters
        ("bicycel", "bicycle"),  # two letters swapped
        ("biycle", "bicycle"),  # a missing letter
        ("sunseet", "sunset"),  # a letter doubled
        ("sunsit", "sunset"),  # a wrong letter
        ("dgo", "dog"),
        ("dogg", "dog"),
        ("obttle", "bottle"),  # the first two swapped
        ("restaraunt", "restaurant"),
        ("elefant", "elephant"),  # sounds alike; the rarer "elegant" is equally near
        ("kamera", "camera"),
        ("hosue", "house"),
        ("horze", "horse"),
    ],
)
def test_a_mistyped_word_is_near_the_one_that_was_meant(word: str, nearest: str) -> None:
    assert nearest_word(word, TAUGHT, None) == nearest


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("zorilla", "its first letter differs from gorilla's"),
        ("newt", "a short word may not have a wrong letter"),
        ("gnu", "a suggestion for a short word must be frequent"),
        ("bie", "it is too short"),
        ("mountians", "the nearest word occurs only twice"),
        ("hamburg", "an extension is a different word"),
        ("quagga", "it is not near any word"),
        ("犬犬犬犬", "its script has no letters to mistype"),
        ("b" * 1000, "it is not a word"),
    ],
)
def test_nothing_far_fetched_is_suggested(word: str, why: str) -> None:
    assert nearest_word(word, TAUGHT, None) is None, why


def test_the_most_taught_of_equally_near_words_is_suggested() -> None:
    assert nearest_word("hoxse", {"house": 5, "horse": 6}, None) == "horse"
    assert nearest_word("hoxse", {"house": 7, "horse": 6}, None) == "house"


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("kyotto", "kyoto"), ("kioto", "kyoto"), ("hirosi", "hiroshi"), ("marakesch", "marrakesh"), ("zyoto", None)],
)
def test_names_that_photos_say_are_suggested_too(library: Library, word: str, nearest: str | None) -> None:
    metadata = Metadata("PNG", 8, 8, people=("Hiroshi Tanaka",), keywords=("Kyoto", "Marrakesh"))
    store(library, [("a.png", (1, 2, 3), metadata), ("b.png", (3, 2, 1), metadata)])

    assert nearest_word(word, TAUGHT, library) == nearest


def test_a_library_without_photos_suggests_nothing(library: Library) -> None:
    assert nearest_word("marakesch", TAUGHT, library) is None
