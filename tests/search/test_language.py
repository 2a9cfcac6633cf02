"""Detection of queries that are certainly not English, using the built-in model's vocabulary."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.words import read_words, unknown_words
from pixsearch.search.language import foreign_language

FOREIGN = [
    ("German", "ein Hund im Schnee"),
    ("German", "Frau mit rotem Hut"),
    ("French", "un chien sur la plage"),
    ("French", "le chat dort sur le canapé"),
    ("French", "deux enfants jouent dans la neige"),
    ("Spanish", "dos niños jugando en la nieve"),
    ("Spanish", "el gato duerme en el sofá"),
    ("Italian", "un cane sulla spiaggia"),
    ("Portuguese", "um cachorro na praia"),
    ("Dutch", "een hond op het strand"),
    ("Swedish, Danish or Norwegian", "en hund på stranden"),
    ("Polish", "kobieta w czerwonym kapeluszu"),
    ("Russian", "собака на пляже"),
    ("Japanese", "浜辺の犬"),
    ("Chinese", "海滩上的狗"),
    ("Korean", "해변의 개"),
    ("Arabic or Persian", "كلب على الشاطئ"),
    ("Greek", "σκύλος στην παραλία"),
]
ENGLISH = """
two dogs in the snow
a man with a hat on a bench
kids en route to school
a la carte menu
les paul guitar
a pan on a stove
a van on the die hard set
i met anna in berlin
dame edna
the sea at night
a sign at the taj mahal
a woman in a sari with a chai latte
""".strip().splitlines()
NAMES = """
Müller
Kyoto
São Paulo
Hiroshi Tanaka
José María de la Cruz
João dos Santos e Silva
Rio de Janeiro
Playa del Carmen
Place de la Concorde
Notre Dame de Paris
Boulogne sur Mer
Rothenburg ob der Tauber
Müller und Söhne
Castilla y León
Santa Maria della Salute
Hansen og Sønn
Bergen op Zoom
Unter den Linden
Un Chien Andalou
smörgåsbord
kimono
crème brûlée
pain au chocolat
spaghetti alla carbonara
la dolce vita
papier mâché
""".strip().splitlines()


@pytest.fixture(scope="module")
def taught() -> Mapping[str, int]:
    words = read_words(find_checkpoint("shipped"))
    assert words is not None
    return words


def language_of(text: str, taught: Mapping[str, int]) -> str | None:
    return foreign_language(text, taught, unknown_words(text, taught))


@pytest.mark.parametrize(("language", "query"), FOREIGN)
def test_the_language_of_a_foreign_query_is_detected(language: str, query: str, taught: Mapping[str, int]) -> None:
    assert language_of(query, taught) == language


@pytest.mark.parametrize("query", [*ENGLISH, *NAMES])
def test_english_and_names_are_not_foreign(query: str, taught: Mapping[str, int]) -> None:
    assert language_of(query, taught) is None


def test_two_languages_whose_words_are_the_same_are_both_named(taught: Mapping[str, int]) -> None:
    assert language_of("una donna con un cappello rosso", taught) == "Spanish or Italian"


def test_a_word_in_other_letters_beside_english_ones_is_a_name(taught: Mapping[str, int]) -> None:
    assert language_of("a temple in 京都", taught) is None


def test_words_that_a_photo_says_are_not_foreign(taught: Mapping[str, int]) -> None:
    assert foreign_language("京都旅行", taught, []) is None


def test_the_languages_that_a_model_was_trained_on_are_not_foreign(taught: Mapping[str, int]) -> None:
    german = dict.fromkeys(["ein", "hund", "im", "schnee", "mit"], 50)

    assert language_of("ein Hund im Schnee", {**taught, **german}) is None
    assert language_of("浜辺の犬", {**taught, "犬のいる浜辺": 50}) is None
    assert language_of("un chien sur la plage", {**taught, **german}) == "French"


@pytest.mark.parametrize("words", [None, {}, {"ein": 90, "hund": 90}])
def test_a_model_that_lists_no_english_words_detects_no_language(words: Mapping[str, int] | None) -> None:
    assert foreign_language("un chien sur la plage", words, []) is None
