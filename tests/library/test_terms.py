from __future__ import annotations

import os
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixsearch.library.terms import MOST_TERMS, date_terms, terms_of, terms_of_photo, words_of
from pixsearch.metadata import Metadata


def is_found(query: str, text: str) -> bool:
    """Return whether each word of a query begins one of the terms of a text, as in a search."""
    terms = list(terms_of(text))
    return all(any(term.startswith(word) for term in terms) for word in words_of(query))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("anna", "Anna Lindqvist"),
        ("lind", "Anna Lindqvist"),
        ("muller", "Müller"),
        ("MÜLLER", "muller"),
        ("IMG_2043", "IMG_2043"),
        ("img 2043", "img2043"),
        ("2043", "IMG_2043"),
        ("043", "IMG_2043"),
        ("43", "IMG_2043"),
        ("20190304", "PXL_20190304_101500"),
        ("2019", "PXL_20190304_101500"),
        ("summer", "SummerHoliday2019"),
        ("holiday", "SummerHoliday2019"),
        ("summerholiday2019", "SummerHoliday2019"),
        ("5d", "Canon EOS 5D Mark IV"),
        ("r6", "Canon EOS R6m2"),
        ("anna", "Anna's birthday"),
        ("anna's", "for Anna"),
        ("o'brien", "Liam O'Brien"),
        ("旅行", "京都旅行"),
        ("京都", "京都旅行"),
        ("都旅", "京都旅行"),
        ("旅行", "京都旅行2019"),
        ("ラーメン", "深夜のﾗｰﾒﾝ"),
        ("สวัสดี", "คำว่าสวัสดีครับ"),
        ("हिन्दी", "हिन्दी भाषा"),
        ("москва", "Москва, Россия"),
        ("été", "ÉTÉ 2020"),
        ("cafe", "cafe\u0301"),
        ("lodz", "Łódź"),
        ("tromso", "Tromsø"),
        ("ørsted", "Orsted"),
    ],
)
def test_a_text_is_found_by_this(query: str, text: str) -> None:
    assert is_found(query, text)


@pytest.mark.parametrize(
    ("query", "text"),
    [("nna", "Anna"), ("204", "IMG_2143"), ("行旅", "京都旅行"), ("müller", "Miller"), ("s", "Anna's")],
)
def test_a_text_is_not_found_by_that(query: str, text: str) -> None:
    assert not is_found(query, text)


def test_the_terms_of_a_name_are_those_worked_out_by_hand() -> None:
    assert set(terms_of("DSC_01234")) == {"dsc", "01234", "1234", "234", "34"}
    assert set(terms_of("IMG2043b")) == {"img2043b", "img", "2043", "043", "43", "b"}
    assert set(terms_of("京都旅")) == {"京都旅", "都旅", "旅"}


@given(st.text(alphabet="京都旅行東山ラーメン", min_size=1, max_size=30), st.data())
def test_any_part_of_a_text_without_blanks_finds_it_up_to_8_characters(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : start + data.draw(st.integers(1, 8))]

    assert is_found(part, text)


@given(st.text())
def test_every_text_finds_itself_and_its_terms_can_be_stored(text: str) -> None:
    assert is_found(" ".join(word[:8] for word in words_of(text)), text)
    for term in terms_of(text):
        assert term.encode()
        assert not term.startswith(":")  # terms for dates and ratings start with this


def test_a_photo_is_found_by_all_that_it_says_and_by_its_folders_below_the_root() -> None:
    metadata = Metadata(
        "JPEG",
        8,
        8,
        taken_at=datetime(2019, 3, 4, 10, 15),
        camera="Canon EOS 5D",
        title="Golden hour",
        caption="at the pavilion",
        keywords=("autumn leaves",),
        people=("Anna",),
        rating=4,
        location="Kinkaku-ji",
        place="Kyoto, Japan",
        writing=("NO ENTRY",),
    )

    terms = terms_of_photo(b"/home/me/Pictures/Trip_2/IMG_2043.jpg", b"/home/me/Pictures", metadata)

    said = "canon eos 5d golden hour at the pavilion autumn leaves anna kinkaku ji kyoto japan no entry trip 2 img 2043"
    assert set(said.split()) <= terms
    assert {":2019", ":2019-03", ":2019-03-04", ":4 stars"} <= terms
    assert not terms & {"home", "me", "pictures", "jpg"}


def test_a_name_that_is_no_text_has_the_terms_of_what_can_be_read() -> None:
    path = os.fsencode("/photos/caf\udce9 anna.jpg")

    assert {"caf", "anna"} <= terms_of_photo(path, b"/photos", Metadata("JPEG", 8, 8))


def test_a_photo_has_no_more_terms_than_pages_of_text() -> None:
    writing = tuple(f"word{number}" for number in range(5000))

    assert len(terms_of_photo(b"/photos/a.jpg", b"/photos", Metadata("JPEG", 8, 8, writing=writing))) == MOST_TERMS


def test_pages_of_text_cost_a_photo_neither_its_people_nor_its_name() -> None:
    caption = " ".join(f"word{number}" for number in range(1000, 4000))
    metadata = Metadata("JPEG", 8, 8, caption=caption, people=("Zoe",))

    assert {"zoe", "zebra", "africa"} <= terms_of_photo(b"/photos/africa/zebra.png", b"/photos", metadata)


def test_dates_have_terms_for_their_year_month_and_day() -> None:
    assert date_terms(datetime(2021, 3, 9)) == (":2021", ":2021-03", ":2021-03-09")
