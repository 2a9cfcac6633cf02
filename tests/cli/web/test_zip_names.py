from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixsearch_cli.web.zip_names import LONGEST_BYTES, ZipNames, safe_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("Ünï çödé 😀.jpg", "Ünï çödé 😀.jpg"),
        ("u\u0308.jpg", "\u00fc.jpg"),  # two characters, as macOS stores them, become one
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("C:\\photos\\a.jpg", "C__photos_a.jpg"),
        ('a<b>c"d|e?f*.jpg', "a_b_c_d_e_f_.jpg"),
        ("line\nbreak\x1b[31m.jpg", "line_break_[31m.jpg"),
        ("gpj.\u202egnp.exe", "gpj._gnp.exe"),  # it would be shown as gpj.exe.png
        ("CON", "_CON"),
        ("nul.jpg", "_nul.jpg"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("LPT¹.png", "_LPT¹.png"),
        ("control.jpg", "control.jpg"),
        ("a.jpg. . ", "a.jpg"),
        ("...", "photo"),
        ("", "photo"),
        ("..", "photo"),
        ("bytes \udcff.jpg", "bytes _.jpg"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),  # 200 bytes
        ("x" * 199 + "." + "y" * 30, "x" * 199),  # no dot at the end of the shortened name
        ("é" * 150 + ".jpg", "é" * 98 + ".jpg"),  # 98 x 2 + 4 bytes
    ],
)
def test_a_name_is_one_that_every_system_can_have(given: str, expected: str) -> None:
    assert safe_name(given) == expected


def test_names_differ_also_where_upper_and_lower_case_are_the_same() -> None:
    names = ZipNames(["missing.txt"])

    given = ["a.jpg", "A.jpg", "a (2).JPG", "a.jpg", "Missing.TXT", "a.png", "u\u0308.jpg", "\u00dc.jpg"]

    assert [names.name(one) for one in given] == [
        "a.jpg",
        "A (2).jpg",
        "a (2) (2).JPG",
        "a (3).jpg",
        "Missing (2).TXT",
        "a.png",
        "\u00fc.jpg",
        "\u00dc (2).jpg",
    ]


def test_a_hundred_thousand_of_one_name_take_no_longer_than_others() -> None:
    names = ZipNames()

    last = [names.name("IMG_0001.JPG") for _ in range(100_000)][-1]

    assert last == "IMG_0001 (100000).JPG"


@given(st.lists(st.text(max_size=300), max_size=20))
def test_whatever_the_names_are_they_can_be_unpacked_beside_each_other(given: list[str]) -> None:
    names = ZipNames()

    made = [names.name(one) for one in given]

    assert len({unicodedata.normalize("NFC", one).casefold() for one in made}) == len(given)
    for one in made:
        assert 0 < len(one.encode()) <= LONGEST_BYTES
        assert not set(one) & set('<>:"/\\|?*\n\r\t\0')
        assert one == unicodedata.normalize("NFC", one)
        assert one not in (".", "..")
        assert not one.endswith((".", " "))
