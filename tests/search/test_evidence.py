"""The evidence from text about photos, combined with that from their pixels.

ColourRuntime judges the pixels, with scores worked out by hand: log-odds of 5 for a picture entirely in the query's
colour, and -5 for one without that colour.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from pixsearch import Filters, Hit, Library, Query, SearchEngine, Words
from pixsearch.errors import UsageError
from pixsearch.metadata import Metadata
from pixsearch.search.hits import Said
from pixsearch.search.names import understand
from pixsearch.search.wording import pieces_of, text_without
from tests.colour_runtime import ColourRuntime
from tests.library.described_photos import store

RED, PINK, GREEN, BLUE = (255, 0, 0), (255, 102, 102), (0, 255, 0), (0, 0, 255)
DARK = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
NOTHING = Metadata("PNG", 8, 8)
ANNA = replace(NOTHING, people=("Anna Lindqvist",))
TAUGHT = {"red": 100, "green": 100, "blue": 100, "rose": 100, "beach": 100, "in": 9}


SHOWN, NOT_SAID, BEGINNING = 4.0, -6.0, -0.5
NAMED = {"place": 0.0, "caption": -0.2, "file": -0.3, "folder": -0.5}
ALSO_SAID = {"keyword": 7.0, "folder": 1.5}


def engine(library: Library) -> SearchEngine:
    return SearchEngine(library, ColourRuntime(calibrated=True, words_taught=TAUGHT))


def ask(library: Library, text: str, k: int = 10, **options: object) -> list[Hit]:
    """Search with each photo as a separate hit, because pictures in one colour would be near-duplicates."""
    return engine(library).search(Query((Words(text),), **({"duplicates": "show"} | options)), k)  # type: ignore[arg-type]


def names(hits: list[Hit]) -> list[str]:
    return [hit.path.name for hit in hits]


def sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))


def test_a_name_in_the_metadata_is_found_whatever_the_pixels(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("b.png", GREEN, ANNA), ("c.png", BLUE, NOTHING)])

    first, *others = ask(library, "Anna")

    assert first.path.name == "b.png"
    assert first.score == pytest.approx(sigmoid(SHOWN), abs=1e-6)
    assert first.says == (Said("Anna", "people", "Anna Lindqvist"),)
    assert (first.certainty, first.likely) == ("strong", True)
    assert [(hit.certainty, hit.likely, hit.says) for hit in others] == [("weak", False, ())] * 2
    assert [hit.score for hit in others] == pytest.approx([sigmoid(SHOWN + NOT_SAID)] * 2)


def test_the_rest_of_the_words_is_compared_with_the_pixels(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("b.png", GREEN, ANNA), ("c.png", RED, ANNA), ("d.png", BLUE, NOTHING)])

    hits = ask(library, "red Anna")

    assert names(hits) == ["c.png", "a.png", "b.png", "d.png"]
    log_odds = [5, 5 + NOT_SAID, -5, -5 + NOT_SAID]
    assert [hit.score for hit in hits] == pytest.approx([sigmoid(one) for one in log_odds], abs=1e-6)
    assert [hit.probability for hit in hits] == pytest.approx([sigmoid(one) for one in (5, 5, -5, -5)], abs=1e-6)


def test_words_that_only_lead_to_a_name_are_not_compared_with_the_pixels(library: Library) -> None:
    store(library, [("a.png", RED, ANNA)])

    understood = [
        engine(library)._understood(Query((Words(text),)))[0] for text in ("a red photo of Anna", "Anna in a photo")
    ]

    assert [(one.text, one.names_only) for one in understood] == [("red", False), ("Anna in a photo", True)]


def test_a_known_word_that_a_photo_also_says_raises_its_score(library: Library) -> None:
    keyword, folder = replace(NOTHING, keywords=("Beach",)), NOTHING
    store(library, [("a.png", DARK[0], keyword), ("beach/b.png", DARK[1], folder), ("c.png", DARK[2], NOTHING)])

    hits = ask(library, "beach")

    # ColourRuntime reads a word without a colour as white, so these match with 10 x 1 / 255 - 5.
    assert names(hits) == ["a.png", "b.png", "c.png"]
    log_odds = [10 / 255 - 5 + more for more in (ALSO_SAID["keyword"], ALSO_SAID["folder"], 0)]
    assert [hit.score for hit in hits] == pytest.approx([sigmoid(one) for one in log_odds], abs=1e-6)


def test_a_known_word_adds_by_the_square_root_of_its_share_in_the_rarity_of_all(library: Library) -> None:
    store(library, [("a.png", GREEN, replace(NOTHING, keywords=("beach",))), ("b.png", BLUE, NOTHING)])

    first, _ = ask(library, "red beach")

    # One of two pictures contains beach and none contains red. Both words have the rarity ln(1 + 2/1), so beach is half
    # of the sum.
    assert first.score == pytest.approx(sigmoid(-5 + ALSO_SAID["keyword"] * math.sqrt(0.5)), abs=1e-6)


def test_text_about_one_photo_counts_more_than_text_about_many(library: Library) -> None:
    store(
        library,
        [
            ("kyoto/a.png", RED, NOTHING),
            ("b.png", GREEN, replace(NOTHING, location="Kyoto")),
            ("c.png", BLUE, replace(NOTHING, caption="Kyoto at last")),
            ("kyoto-1.png", PINK, NOTHING),
        ],
    )

    hits = ask(library, "kyoto")

    assert names(hits) == ["b.png", "c.png", "kyoto-1.png", "a.png"]
    sources = ("place", "caption", "file", "folder")
    assert [hit.score for hit in hits] == pytest.approx([sigmoid(SHOWN + NAMED[one]) for one in sources], abs=1e-6)


def test_names_that_begin_with_a_word_come_after_exact_ones(library: Library) -> None:
    people = ("Annabel", "Anna", "Joanna")
    store(
        library,
        [
            (f"{who}.x.png", c, replace(NOTHING, people=(who,)))
            for who, c in zip(people, (RED, GREEN, BLUE), strict=True)
        ],
    )

    hits = ask(library, "anna")

    assert names(hits) == ["Anna.x.png", "Annabel.x.png", "Joanna.x.png"]
    assert [hit.score for hit in hits[:2]] == pytest.approx([sigmoid(SHOWN), sigmoid(SHOWN + BEGINNING)], abs=1e-6)
    assert hits[2].says == ()


@pytest.mark.parametrize(
    "words",
    [
        "2021",
        "March 2021",
        "2021-03",
        "15 March 2021",
        "march 15, 2021",
        "2021-03-15",
        "spring 2021",
        "last spring",
        "last March",
    ],
)
def test_a_date_in_words_finds_photos_taken_then(library: Library, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    class Then(date):
        @classmethod
        def today(cls) -> Then:
            return cls(2021, 7, 1)

    monkeypatch.setattr("pixsearch.search.engine.date", Then)
    then, later = (replace(NOTHING, taken_at=datetime(year, 3, 15, 12)) for year in (2021, 2022))
    store(library, [("a.png", RED, later), ("b.png", GREEN, then), ("c.png", BLUE, NOTHING), ("d.png", RED, then)])

    found, mixed = ask(library, words), ask(library, f"red {words}")

    assert sorted(names(found)[:2]) == ["b.png", "d.png"]
    assert [hit.likely for hit in found] == [True, True, False, False]
    assert names(mixed)[0] == "d.png"
    assert mixed[0].says == (Said(words, "date", "2021-03-15"),)


def test_a_month_without_photos_finds_none(library: Library) -> None:
    store(library, [("a.png", RED, replace(NOTHING, taken_at=datetime(2021, 3, 15)))])

    assert [hit.likely for hit in ask(library, "red March 2020")] == [False]


def test_stars_find_photos_with_as_many_or_more(library: Library) -> None:
    store(
        library, [(f"{stars}.png", c, replace(NOTHING, rating=stars)) for stars, c in ((3, RED), (4, GREEN), (5, BLUE))]
    )

    assert sorted(names([hit for hit in ask(library, "four stars") if hit.likely])) == ["4.png", "5.png"]


def test_a_file_is_found_by_its_name_or_the_end_of_its_number(library: Library) -> None:
    store(library, [(f"IMG_{number}.png", (number % 256, number // 256, 9), NOTHING) for number in range(2040, 2050)])

    for words in ("IMG_2043", "img 2043", "2043", "043"):
        assert names(ask(library, words))[0] == "IMG_2043.png"


def test_any_part_of_words_without_blanks_is_found(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("b.png", BLUE, replace(NOTHING, keywords=("京都旅行",)))])

    assert [names(ask(library, words))[0] for words in ("旅行", "京都", "都")] == ["b.png"] * 3


def test_a_word_next_to_a_name_that_all_photos_with_the_name_say_is_part_of_it(library: Library) -> None:
    taught = TAUGHT | {"new": 500}
    store(
        library, [("a.png", RED, replace(NOTHING, location="New York")), ("b.png", BLUE, replace(NOTHING, title="new"))]
    )

    [understood] = SearchEngine(library, ColourRuntime(words_taught=taught))._understood(
        Query((Words("red New York"),))
    )

    assert understood.text == "red"


def test_a_rare_name_is_found_among_photos_with_a_common_one(library: Library) -> None:
    colours = [(1 + n % 250, 1 + n * 7 % 250, 1 + n * 13 % 250) for n in range(1000)]
    people = [replace(NOTHING, people=("Anna", "Bertrand") if n == 777 else ("Anna",)) for n in range(1000)]
    store(
        library,
        [(f"{n}.png", colour, metadata) for n, (colour, metadata) in enumerate(zip(colours, people, strict=True))],
    )

    assert names(ask(library, "Anna Bertrand", k=1)) == ["777.png"]


def test_the_copy_that_says_a_word_comes_first(library: Library) -> None:
    store(library, [("a/1.png", RED, NOTHING), ("Kyoto/2.png", RED, NOTHING), ("z.png", BLUE, NOTHING)])

    first, _ = ask(library, "Kyoto", duplicates="fold")

    assert first.path == Path("/photos/Kyoto/2.png")
    assert first.copies == (Path("/photos/a/1.png"),)


def test_a_hit_says_what_its_near_duplicates_say(library: Library) -> None:
    larger = replace(NOTHING, width=80, height=80)
    store(library, [("large.png", RED, larger), ("small.png", (250, 0, 0), ANNA), ("z.png", BLUE, NOTHING)])

    first, _ = ask(library, "Anna", duplicates="fold")

    assert first.path.name == "large.png"
    assert [path.name for path in first.similar] == ["small.png"]
    assert first.says == (Said("Anna", "people", "Anna Lindqvist"),)


def test_filters_and_the_threshold_apply_to_names_too(library: Library) -> None:
    store(library, [("a.png", RED, ANNA), ("b.png", GREEN, ANNA), ("c.png", BLUE, NOTHING)])

    assert names(ask(library, "Anna", filters=Filters(name="b"))) == ["b.png"]
    assert sorted(names(ask(library, "Anna", threshold=0.5))) == ["a.png", "b.png"]


def test_photos_that_say_words_with_a_negative_weight_rank_lower(library: Library) -> None:
    store(library, [("a.png", RED, ANNA), ("b.png", PINK, NOTHING), ("c.png", BLUE, NOTHING)])

    hits = engine(library).search(Query((Words("red"), Words("Anna", -0.1))), 2)

    assert names(hits) == ["b.png", "a.png"]


def test_shows_searches_the_pixels_alone(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("red.png", BLUE, replace(NOTHING, keywords=("red",)))])

    hits = ask(library, "red", evidence="shows")

    assert [(hit.path.name, hit.says) for hit in hits] == [("a.png", ()), ("red.png", ())]
    assert [hit.score for hit in hits] == pytest.approx([hit.probability for hit in hits])


def test_what_says_a_name_comes_first_without_the_second_stage_too(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("b.png", GREEN, ANNA), ("c.png", RED, ANNA), ("d.png", BLUE, NOTHING)])

    hits = ask(library, "red Anna", rerank=False)

    assert names(hits) == ["c.png", "b.png", "a.png", "d.png"]
    assert [[said.word for said in hit.says] for hit in hits] == [["Anna"], ["Anna"], [], []]
    assert [hit.similarity for hit in hits] == pytest.approx([1, 0, 1, 0], abs=0.01)
    assert {(hit.match, hit.probability, hit.score) for hit in hits} == {(None, None, None)}
    assert names(ask(library, "red Anna", rerank=False, evidence="shows")) == ["a.png", "c.png", "b.png", "d.png"]


def test_the_second_of_two_pages_without_the_second_stage_begins_where_the_first_ends(library: Library) -> None:
    others = [(f"{number}.png", RED, NOTHING) for number in range(4)]
    store(library, [*others, ("anna.png", GREEN, ANNA), ("again.png", BLUE, ANNA)])

    first, second = (ask(library, "red Anna", k=3, offset=offset, rerank=False) for offset in (0, 3))

    assert sorted(names([*first, *second])) == ["0.png", "1.png", "2.png", "3.png", "again.png", "anna.png"]
    assert set(names(first)) > {"again.png", "anna.png"}


def test_says_lists_photos_that_say_all_words_without_reading_pixels(library: Library) -> None:
    dated = [replace(ANNA, taken_at=datetime(year, 5, 1)) for year in (2019, 2020)]
    store(
        library,
        [
            ("red/a.png", RED, dated[0]),
            ("b.png", GREEN, dated[1]),
            ("c.png", BLUE, NOTHING),
            ("red/d.png", BLUE, dated[1]),
        ],
    )
    runtime = ColourRuntime()

    def says(text: str, **options: object) -> list[str]:
        return names(SearchEngine(library, runtime).search(Query((Words(text),), evidence="says", **options)))  # type: ignore[arg-type]

    assert says("Anna") == ["b.png", "d.png", "a.png"]  # newest first
    assert says("Anna", sort="oldest") == ["a.png", "b.png", "d.png"]
    assert says("Anna red") == ["d.png", "a.png"]
    assert says("Anna 2019") == ["a.png"]
    assert says("Anna", offset=1, filters=Filters(name="d")) == []
    assert says("Bertrand") == says("Anna zoe") == []
    assert runtime.pairs_ordered == 0
    for text in ("the", "of a"):
        with pytest.raises(UsageError, match="no words to look up in metadata"):
            says(text)


def test_without_a_calibration_decisive_evidence_comes_first(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("b.png", BLUE, ANNA), ("red/c.png", GREEN, NOTHING)])
    uncalibrated = SearchEngine(library, ColourRuntime(words_taught=TAUGHT))

    by_name, by_folder = uncalibrated.search("Anna"), uncalibrated.search("red")

    assert (by_name[0].path.name, by_name[0].score) == ("b.png", None)
    assert names(by_folder)[0] == "a.png"  # matching only the folder is not enough


def test_if_similarity_decides_the_order_likely_hits_and_those_that_say_more_come_first(library: Library) -> None:
    store(library, [("a.png", RED, NOTHING), ("b.png", BLUE, ANNA)])
    runtime = ColourRuntime(calibrated=True, words_taught=TAUGHT, default_order="similarity")

    assert names(SearchEngine(library, runtime).search("Anna")) == ["b.png", "a.png"]


@pytest.mark.parametrize(
    ("words", "metadata"),
    [
        ("a green field", replace(NOTHING, people=("Al Green",))),
        ("green Field", replace(NOTHING, people=("Al Green",))),
        ("a beach", replace(NOTHING, location="Long Beach, California, United States")),
        ("red city", replace(NOTHING, location="Salt Lake City")),
        ("an apple", replace(NOTHING, camera="Apple iPhone 15")),
        ("summer", replace(NOTHING, people=("Will Summers",))),
        ("a rose", replace(NOTHING, people=("Rose Delacroix",))),
    ],
)
def test_a_known_word_in_a_longer_name_is_not_evidence(library: Library, words: str, metadata: Metadata) -> None:
    store(library, [("a.png", RED, metadata), ("b.png", BLUE, NOTHING)])
    taught = dict.fromkeys(("green", "field", "beach", "red", "city", "apple", "summer", "rose"), 100)

    hits = SearchEngine(library, ColourRuntime(calibrated=True, words_taught=taught)).search(words)

    assert [hit.says for hit in hits] == [()] * 2


@pytest.mark.parametrize("words", ["Rose", "rose", "Rose in red", "red Al Green", "red in Long Beach"])
def test_a_whole_name_of_known_words_is_a_name(library: Library, words: str) -> None:
    metadata = Metadata("PNG", 8, 8, people=("Rose Delacroix", "Al Green"), location="Long Beach, California")
    store(library, [("a.png", RED, metadata), ("b.png", BLUE, NOTHING)])
    taught = TAUGHT | {"long": 100, "al": 100}

    first, _ = SearchEngine(library, ColourRuntime(calibrated=True, words_taught=taught)).search(words)

    assert first.path.name == "a.png"
    assert {one.source for one in first.says} <= {"people", "place"}
    assert first.says != ()


@pytest.mark.parametrize("words", ["2 red", "red 100", "red 43", "red four stars on it"])
def test_a_number_next_to_words_for_the_pixels_excludes_nothing(library: Library, words: str) -> None:
    others = replace(NOTHING, rating=5)
    store(library, [("a.png", RED, NOTHING), ("v2 (43) IMG_4100.png", BLUE, others)])

    assert names(ask(library, words))[0] == "a.png"


def test_a_long_word_of_a_script_without_blanks_is_found(library: Library) -> None:
    words = ("ภาษาไทยสวย", "กรุงเทพมหานคร", "京都旅行記念写真集", "コンピューターゲーム")
    colours = (RED, GREEN, BLUE, PINK)
    store(library, [(f"{n}.png", colours[n], replace(NOTHING, keywords=(word,))) for n, word in enumerate(words)])

    for number, word in enumerate(words):
        assert names(ask(library, word, evidence="says")) == [f"{number}.png"]
        assert names(ask(library, word))[0] == f"{number}.png"


def test_all_contents_of_a_year_are_listed_unless_it_is_common(library: Library) -> None:
    dated = [replace(NOTHING, taken_at=datetime(2019, 1, 1), title=f"t{number}") for number in range(700)]
    pictures = [((n % 255 + 1, n // 255 + 1, 1), metadata) for n, metadata in enumerate(dated)]
    store(library, [(f"{folder}/{n}.png", *one) for folder in ("a", "backup") for n, one in enumerate(pictures)])

    [one] = understand("2019", library, {}, date(2026, 1, 1)).wanted

    assert len(one.ids) == 700


def test_each_of_separate_copies_says_only_its_own_words(library: Library) -> None:
    store(library, [("kyoto.png", RED, NOTHING), ("b.png", RED, NOTHING)])

    assert {hit.path.name: len(hit.says) for hit in ask(library, "kyoto")} == {"kyoto.png": 1, "b.png": 0}
    assert names(ask(library, "kyoto", evidence="says")) == ["kyoto.png"]


def test_a_copy_that_says_words_with_a_negative_weight_is_not_moved_to_the_front(library: Library) -> None:
    store(library, [("beach/a.png", RED, NOTHING), ("zanzibar/z.png", RED, NOTHING), ("zanzibar/q.png", BLUE, NOTHING)])

    first, *_ = engine(library).search(Query((Words("beach"), Words("zanzibar", -0.5))))

    assert first.path.name == "a.png"
    assert [one.word for one in first.says] == ["beach"]


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        ("Anna without a hat", "without a hat"),
        ("Anna under a tree", "under a tree"),
        ("Anna's black-and-white t-shirt", "black-and-white t-shirt"),
        ("Anna on the beach in 2019", "beach"),
        ("red car, last summer", "red car"),
        ("a photo of Anna", ""),
    ],
)
def test_names_are_taken_out_with_the_words_that_only_lead_to_them(words: str, rest: str) -> None:
    pieces = pieces_of(words, date(2026, 12, 1))

    assert text_without(words, [one for one in pieces if one.kind == "date" or one.text.startswith("Anna")]) == rest


def test_only_the_beginning_of_a_very_long_query_is_read(library: Library) -> None:
    for text in ("1 star " * 50_000, "march " * 50_000, "1 of march " * 30_000, "a" * 3_000_000, " " * 100_000 + "b"):
        assert len(pieces_of(text, date(2026, 1, 1))) <= 32


def test_a_damaged_index_of_terms_leaves_the_pixels_to_answer(library: Library) -> None:
    if not isinstance(library.location, Path):
        pytest.skip("PostgreSQL reads no damaged pages")
    store(library, [("a.png", RED, ANNA), ("b.png", BLUE, NOTHING)])
    library.close()
    _spoil_pages_of(library.location / "library.db", b"lindqvist")

    with Library.open(library.location) as opened:
        hits = ask(opened, "red lindqvist")
        assert names(hits)[0] == "a.png"


def _spoil_pages_of(file: Path, text: bytes) -> None:
    """Overwrite the headers of the index pages that contain the text."""
    data, page = bytearray(file.read_bytes()), 4096
    at = data.find(text)
    while at >= 0:
        start = at // page * page
        if b"people" not in data[start : start + page] and data[start] in (2, 10):  # an index page
            data[start : start + 8] = b"\xff" * 8
        at = data.find(text, at + 1)
    file.write_bytes(data)
