"""Negations in a query become parts with a negative weight."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch import Hit, Library, Picture, Query, SearchEngine, Words
from pixsearch.errors import UsageError
from pixsearch.metadata import Metadata
from pixsearch.search.listing import photos_that_say
from pixsearch.search.negation import Negation, without_negations
from tests.colour_runtime import ColourRuntime
from tests.library.described_photos import store

TAUGHT = dict.fromkeys(["street", "beach", "dog", "cat", "people", "dogs", "parking"], 100)
NOTHING = Metadata("PNG", 8, 8)


def split(library: Library, text: str) -> tuple[str, ...] | None:
    """Return the text to search for and the negated phrases, or None if the text is searched literally."""
    query, negations = without_negations(Query((Words(text),)), library, TAUGHT)
    if not negations:
        assert query == Query((Words(text),))
        return None
    [negation] = negations
    if negation.less:
        weights = [1.0, *[-1.0] * len(negation.less)]
        assert [(part.text, part.weight) for part in query.words] == list(
            zip([negation.asked, *negation.less], weights, strict=True)
        )
    return negation.asked, *negation.less


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a street without people", ("a street", "people")),
        ("A street WITHOUT any people?", ("A street", "people")),
        ("a street w/o people", ("a street", "people")),
        ("a street with no people", ("a street", "people")),
        ("a street with no people in it", ("a street", "people")),
        ("a street that has no people", ("a street", "people")),
        ("a beach where there are no people", ("a beach", "people")),
        ("a beach with nobody on it", ("a beach", "people")),
        ("a beach with no one", ("a beach", "people")),
        ("a beach no people", ("a beach", "people")),
        ("a beach, no people", ("a beach", "people")),
        ("a beach but no people", ("a beach", "people")),
        ("a dog, not a cat", ("a dog", "a cat")),
        ("a dog but not a cat", ("a dog", "a cat")),
        ("a dog not a cat", ("a dog", "a cat")),
        ("a dog, but not brown", ("a dog", "brown")),
        ("all animals except dogs", ("all animals", "dogs")),
        ("all animals except for the dog", ("all animals", "dog")),
        ("a street without people or cars", ("a street", "people", "cars")),
        ("a street without people, cars or dogs", ("a street", "people", "cars", "dogs")),
        ("a beach with no people and no umbrellas", ("a beach", "people", "umbrellas")),
        ("two dogs, no leash, on the beach", ("two dogs, on the beach", "leash")),
        ("a street (without people)", ("a street", "people")),
        ("a street \u2013 without people", ("a street", "people")),
        ("no people on the beach", ("on the beach", "people")),
        ("a street with no stop signs", ("a street", "stop signs")),
    ],
)
def test_negated_words_are_split_off(library: Library, text: str, parts: tuple[str, ...]) -> None:
    assert split(library, text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a street without people at night", ("a street at night", "people")),
        ("a plate without a fork on the table", ("a plate on the table", "a fork")),
        ("a street without people, Paris", ("a street, Paris", "people")),
        ("a street without people in March 2021", ("a street in March 2021", "people")),
        ("a street without people 2019", ("a street 2019", "people")),
        ("a beach without people but with palms", ("a beach with palms", "people")),
        ("a beach without people and with palms", ("a beach with palms", "people")),
    ],
)
def test_words_after_a_negation_that_describe_the_whole_are_kept(
    library: Library, text: str, parts: tuple[str, ...]
) -> None:
    assert split(library, text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "no litter",
        "no parking",
        "a street no parking",
        "a street with no entry",
        "a sign no dogs",
        "a poster that says no dogs",
        'a "no dogs" sign',
        "please do not touch",
        "not for sale",
        "this is not a pipe",
        "a cat not on a sofa",
        "a man not smiling",
        "a house that is not red",
        "a dog without a ball in its mouth",
        "a man without a shirt is walking",
        "a man with no shirt on climbing rocks",
        "Tonari no Totoro",
        "homem no parque",
        "Dr No",
        "No 5",
        "a street without",
        "a notebook in the snow",
        "one of two boys without a shirt stands on a rock beside the lake",
        "a dog, no a, no b, no c, no d, no e",
    ],
)
def test_unclear_negations_are_searched_literally(library: Library, text: str) -> None:
    assert split(library, text) is None


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ("a gate, no dogs", Metadata("PNG", 8, 8, writing=("NO", "DOGS"))),
        ("doctors without borders", Metadata("PNG", 8, 8, keywords=("Doctors Without Borders",))),
        ("without people", Metadata("PNG", 8, 8, title="Without people")),
    ],
)
def test_a_phrase_that_a_photo_says_word_for_word_is_searched_literally(
    library: Library, text: str, metadata: Metadata
) -> None:
    store(library, [("a.png", (1, 2, 3), metadata)])

    assert split(library, text) is None


def test_a_photo_that_says_the_words_apart_does_not_say_the_phrase(library: Library) -> None:
    store(library, [("a.png", (1, 2, 3), Metadata("PNG", 8, 8, title="No cats", keywords=("dogs",)))])

    assert split(library, "a gate, no dogs") == ("a gate", "dogs")


@pytest.mark.parametrize("text", ["not a dog", "without people", "photos without people", "everything except dogs"])
def test_a_query_of_only_a_negation_is_refused_with_a_hint(library: Library, text: str) -> None:
    with pytest.raises(UsageError, match=f'"{text}" leaves nothing to search for') as refused:
        split(library, text)

    assert "--literal" in refused.value.hint


def test_no_alone_may_be_a_sign_and_is_searched_literally_with_a_remark(library: Library) -> None:
    query = Query((Words("no people"),))

    assert without_negations(query, library, TAUGHT) == (query, (Negation("no people", "no people", ()),))


def test_a_negation_alone_applies_to_the_other_parts(library: Library) -> None:
    picture = Picture(Path("a.png"))

    for text in ("without people", "no people"):
        query, _ = without_negations(Query((Words(text), picture)), library, TAUGHT)
        assert query.parts == (Words("people", -1.0), picture)


def test_parts_keep_their_weight_and_negative_ones_are_not_changed(library: Library) -> None:
    given = Query((Words("a dog without a cat", 0.5), Words("a street without people", -0.5)))

    query, _ = without_negations(given, library, TAUGHT)

    assert query.parts == (Words("a dog", 0.5), Words("a cat", -0.5), Words("a street without people", -0.5))


def test_a_no_between_words_of_unknown_languages_is_left_alone(library: Library) -> None:
    assert without_negations(Query((Words("a beach no people"),)), library, None)[1] == ()


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def test_a_search_leaves_out_what_is_negated_unless_it_is_literal(library: Library) -> None:
    # The match for red or blue is 10 x brightness - 5. A picture with both colours matches either.
    colours = {"red.png": (255, 0, 0), "violet.png": (255, 0, 255), "blue.png": (0, 0, 255)}
    store(library, [(name, colour, NOTHING) for name, colour in colours.items()])
    engine = SearchEngine(library, ColourRuntime(calibrated=True))

    less = engine.search(Query((Words("red without blue"),), duplicates="show"))
    literally = engine.search(Query((Words("red without blue"),), duplicates="show", literal=True))

    assert names(less)[0] == "red.png"
    assert [hit.likely for hit in less] == [True, False, False]
    assert less == engine.search(Query((Words("red"), Words("blue", -1.0)), duplicates="show"))
    assert names(literally)[0] == "violet.png"


def test_photos_that_say_what_is_negated_are_not_listed(library: Library) -> None:
    both = Metadata("PNG", 8, 8, keywords=("Kyoto", "people"))
    store(library, [("a.png", (1, 2, 3), both), ("b.png", (3, 2, 1), Metadata("PNG", 8, 8, keywords=("Kyoto",)))])

    query = Query((Words("Kyoto without people"),), evidence="says")

    assert names(photos_that_say(library, query, 10)) == ["b.png"]
