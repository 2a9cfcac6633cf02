"""Remarks on a query."""

from __future__ import annotations

from datetime import datetime

import pytest

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.metadata import Metadata
from pixsearch.model.words import unknown_words
from pixsearch.search.remarks import Remarks
from tests.colour_runtime import ColourRuntime
from tests.library.described_photos import store

TAUGHT = dict.fromkeys(["the", "a", "red", "dog", "bicycle", "street", "people", "temple", "in"], 200)


class Reader(ColourRuntime):
    """A runtime that recognises unknown words by its training words, like a real one."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return unknown_words(text, self.words_taught)


def remarks(library: Library, text: str, **options: object) -> Remarks:
    query = Query((Words(text),), **options)  # type: ignore[arg-type]
    return SearchEngine(library, Reader(words_taught=TAUGHT)).remarks(query)


@pytest.fixture
def kyoto(library: Library) -> Library:
    metadata = Metadata("PNG", 8, 8, people=("Hiroshi Tanaka",), keywords=("京都旅行",), taken_at=datetime(2021, 3, 4))
    store(library, [("Kyoto/IMG_2043.png", (1, 2, 3), metadata)])
    return library


def test_an_unknown_word_is_named_with_the_nearest_that_the_model_or_a_photo_knows(kyoto: Library) -> None:
    found = remarks(kyoto, "a red bycicle in Kyotto, zorilla")

    assert found.unknown_words == ("bycicle", "Kyotto", "zorilla")
    assert found.suggestions == {"bycicle": "bicycle", "Kyotto": "Kyoto"}
    assert list(found.sentences()) == [
        'the model does not know "bycicle" (did you mean "bicycle"?), "Kyotto" (did you mean "Kyoto"?) or "zorilla"'
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Hiroshi in Kyoto",
        "hiro",
        "a temple, Sept 2021",
        "IMG_2043",
        "IMG_2043.png",
        "旅行",
        "photos of the dog",
        "a dog's bicycle",
        "a dog isn't red",
        "nothing red",
    ],
)
def test_words_that_a_photo_says_dates_and_stop_words_are_not_unknown(kyoto: Library, text: str) -> None:
    assert remarks(kyoto, text).unknown_words == ()


@pytest.mark.parametrize("options", [{"evidence": "shows"}, {"rerank": False}])
def test_a_name_is_unknown_to_a_search_of_pixels_only(kyoto: Library, options: dict[str, object]) -> None:
    found = remarks(kyoto, "Kyoto Kyotto", **options)

    assert (found.unknown_words, found.suggestions) == (("Kyoto", "Kyotto"), {})


def test_unknown_words_of_a_query_in_another_language_are_not_listed(kyoto: Library) -> None:
    found = remarks(kyoto, "un chien sur la plage bycicle")

    assert found.language == "French"
    assert found.suggestions == {}
    assert list(found.sentences()) == ["the query looks like French; this model was trained on English"]


def test_negations_are_remarked_on(kyoto: Library) -> None:
    assert list(remarks(kyoto, "a street without people").sentences()) == [
        '"a street without people" is read as "a street" without "people"; use --literal to search for it as written'
    ]
    assert list(remarks(kyoto, "no people").sentences()) == [
        '"no people" is searched for as written; to exclude something, describe the photo first, as in "a street, no '
        'people"'
    ]


def test_a_literal_query_is_not_remarked_on(kyoto: Library) -> None:
    query = Query((Words("un chien sur la plage without a bycicle"),), literal=True)

    assert SearchEngine(kyoto, Reader(words_taught=TAUGHT)).remarks(query) == Remarks(query)


def test_a_model_without_a_word_list_finds_no_unknown_words(kyoto: Library) -> None:
    query = Query((Words("un chien sur la plage, bycicle"),))

    assert SearchEngine(kyoto, Reader(words_taught=None)).remarks(query) == Remarks(query)


def test_many_unknown_words_have_few_suggestions(library: Library) -> None:
    found = remarks(library, " ".join(f"bycicle{'x' * number}" for number in range(20)))

    assert len(found.unknown_words) == 20
    assert set(found.suggestions) <= {"bycicle", "bycicle" + "x"}
