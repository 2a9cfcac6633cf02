"""What is said of a query beside its answer."""

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
    """Knows unknown words by the words that it was taught, as a real one does."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return unknown_words(text, self.words_taught)


def remarks(library: Library, text: str, **options: object) -> Remarks:
    query = Query((Words(text),), **options)  # type: ignore[arg-type]
    return SearchEngine(library, Reader(words_taught=TAUGHT)).remarks(query)


@pytest.fixture
def kyoto(library: Library) -> Library:
    said = Metadata("PNG", 8, 8, people=("Hiroshi Tanaka",), keywords=("京都旅行",), taken_at=datetime(2021, 3, 4))
    store(library, [("Kyoto/IMG_2043.png", (1, 2, 3), said)])
    return library


def test_an_unknown_word_is_named_with_the_nearest_that_the_model_or_a_photo_knows(kyoto: Library) -> None:
    found = remarks(kyoto, "a red bycicle in Kyotto, zorilla")

    assert found.unknown_words == ("bycicle", "Kyotto", "zorilla")
    assert found.suggestions == {"bycicle": "bicycle", "Kyotto": "Kyoto"}
    assert list(found.sentences()) == [
        'the model was never taught "bycicle" (did you mean "bicycle"?), "Kyotto" (did you mean "Kyoto"?) or "zorilla"'
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
def test_what_a_photo_says_a_date_and_a_stop_word_are_not_unknown(kyoto: Library, text: str) -> None:
    assert remarks(kyoto, text).unknown_words == ()


@pytest.mark.parametrize("options", [{"evidence": "shows"}, {"rerank": False}])
def test_where_only_pixels_are_asked_a_name_is_unknown(kyoto: Library, options: dict[str, object]) -> None:
    found = remarks(kyoto, "Kyoto Kyotto", **options)

    assert (found.unknown_words, found.suggestions) == (("Kyoto", "Kyotto"), {})


def test_of_a_query_in_another_language_its_words_are_not_named_one_by_one(kyoto: Library) -> None:
    found = remarks(kyoto, "un chien sur la plage bycicle")

    assert found.language == "French"
    assert found.suggestions == {}
    assert list(found.sentences()) == ["the query looks like French; this model was taught English"]


def test_how_negations_are_asked_is_said(kyoto: Library) -> None:
    assert list(remarks(kyoto, "a street without people").sentences()) == [
        '"a street without people" is asked as "a street" less "people"; --literal asks for the words as they are'
    ]
    assert list(remarks(kyoto, "no people").sentences()) == [
        '"no people" is asked as it stands; to leave something out, say first what to look for, as in "a street, no '
        'people"'
    ]


def test_a_literal_query_is_not_remarked_on(kyoto: Library) -> None:
    query = Query((Words("un chien sur la plage without a bycicle"),), literal=True)

    assert SearchEngine(kyoto, Reader(words_taught=TAUGHT)).remarks(query) == Remarks(query)


def test_a_model_without_its_words_names_none(kyoto: Library) -> None:
    query = Query((Words("un chien sur la plage, bycicle"),))

    assert SearchEngine(kyoto, Reader(words_taught=None)).remarks(query) == Remarks(query)


def test_many_unknown_words_have_few_suggestions(library: Library) -> None:
    found = remarks(library, " ".join(f"bycicle{'x' * number}" for number in range(20)))

    assert len(found.unknown_words) == 20
    assert set(found.suggestions) <= {"bycicle", "bycicle" + "x"}
