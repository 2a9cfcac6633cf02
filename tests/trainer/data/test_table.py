"""Captioned pictures out of CSV, TSV and their like."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import read_captioned

# Without \r: csv.writer leaves it unquoted between lines that end in \n, and csv.reader refuses that.
CAPTIONS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30).filter(str.strip)
ROWS = st.lists(st.tuples(st.sampled_from(["a.jpg", "b c.jpg", 'd".jpg', "e,f.jpg"]), CAPTIONS), min_size=1, max_size=8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    return tmp_path


def read(folder: Path, table: str | bytes) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Captions by the picture's name, and the problems without their folder."""
    file = folder / "data"
    file.write_bytes(table if isinstance(table, bytes) else table.encode())
    reading = read_captioned(file, None)
    return (
        {picture.file.name: picture.captions for picture in reading.pictures},
        [str(problem).removeprefix(f"{folder}/") for problem in reading.problems],
    )


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize(
    ("picture", "caption"),
    [
        ("image", "caption"),
        ("file_name", "text"),
        ("filepath", "title"),
        ("IMG", "Sentence"),
        (" Image Path", "comment"),
    ],
)
def test_columns_are_found_by_their_names(photos: Path, delimiter: str, picture: str, caption: str) -> None:
    table = "\n".join(delimiter.join(row) for row in [("id", caption, picture), ("1", "a dog", "a.jpg")])

    assert read(photos, table) == ({"a.jpg": ("a dog",)}, [])


def test_rows_of_a_picture_are_one_picture_in_the_order_of_first_appearance(photos: Path) -> None:
    table = "image,caption\nb.jpg,a cat\na.jpg,a dog\n./b.jpg,a kitten\n"

    assert list(read(photos, table)[0].items()) == [("b.jpg", ("a cat", "a kitten")), ("a.jpg", ("a dog",))]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("train", "train"), ("", "train"), ("restval", "train"), ("VAL", "val"), ("validation", "val"), ("test", "test")],
)
def test_a_split_column_is_read_by_any_of_its_values_usual_names(photos: Path, written: str, meant: str) -> None:
    (photos / "t.csv").write_text(f"image,split,caption\na.jpg,{written},a dog\n")

    assert read_captioned(photos / "t.csv", None).pictures == [CaptionedPicture(photos / "a.jpg", ("a dog",), meant)]


def test_a_picture_in_two_splits_stays_in_the_first(photos: Path) -> None:
    table = "image,split,caption\na.jpg,val,a dog\na.jpg,train,a puppy\n"

    assert read(photos, table) == (
        {"a.jpg": ("a dog",)},
        ["data:3: a.jpg is in the split train here, in val above"],
    )


def test_flickr8k_token_files_need_no_header(photos: Path) -> None:
    table = "a.jpg#0\tA dog .\na.jpg#1\tA puppy .\nb.jpg#0\tA cat .\n"

    assert read(photos, table) == ({"a.jpg": ("A dog .", "A puppy ."), "b.jpg": ("A cat .",)}, [])


def test_flickr30k_results_with_their_known_bad_row_are_read(photos: Path) -> None:
    table = "image_name| comment_number| comment\na.jpg| 0| A dog .\nb.jpg| 4   A dog runs .\nb.jpg| 1| A cat .\n"

    assert read(photos, table) == (
        {"a.jpg": ("A dog .",), "b.jpg": ("A cat .",)},
        ["data:3: has 2 columns, not 3"],
    )


def test_problems_are_told_with_the_line_where_they_stand(photos: Path) -> None:
    table = (
        b"image,caption\n"
        b'a.jpg,"a dog\nthat sits"\n'  # lines 2 and 3
        b"\n"
        b"missing.jpg,a cat\n"
        b"missing.jpg,a kitten\n"  # the same picture is not missed again
        b"a.jpg,  \n"
        b'a.jpg,"a dog\nthat sits"\n'  # 8 and 9
        b"a.jpg,a dog, sitting\n"
        b"b.jpg\n"
        b"b.jpg,caf\xe9\n"
        b"b.jpg,caf\xc3\xa9\n"
        b",a cat\n"
    )

    assert read(photos, table) == (
        {"a.jpg": ("a dog\nthat sits",), "b.jpg": ("café",)},
        [
            "data:5: missing.jpg is not there",
            "data:7: an empty caption of a.jpg",
            "data:8: a caption of a.jpg is there twice: a dog that sits",
            "data:10: has 3 columns, not 2",
            "data:11: has 1 columns, not 2",
            "data:12: a caption of b.jpg is not UTF-8",
            "data:14: names no picture",
        ],
    )


def test_a_quote_that_does_not_close_costs_one_line(photos: Path) -> None:
    table = 'image,caption\na.jpg,"a dog\nb.jpg,"a ""big"" cat"\nc.jpg,a cow\n'

    assert read(photos, table) == (
        {"b.jpg": ('a "big" cat',), "c.jpg": ("a cow",)},
        ["data:2: has a quote that does not close"],
    )


def test_a_tsv_without_quoting_may_have_captions_that_start_with_a_quote(photos: Path) -> None:
    table = 'image\tcaption\na.jpg\t" is on the sign\nb.jpg\t"Stop" says a sign\nc.jpg\ta cow\n'

    assert read(photos, table) == (
        {"a.jpg": ('" is on the sign',), "b.jpg": ('"Stop" says a sign',), "c.jpg": ("a cow",)},
        [],
    )


def test_a_stray_quote_in_a_long_file_does_not_swallow_it(photos: Path) -> None:
    table = (
        'image,caption\na.jpg,"a dog\n'
        + "".join(f"b.jpg,cat {number}\n" for number in range(1000))
        + 'c.jpg,a board of 6"\n'
    )

    captions, problems = read(photos, table)

    assert len(captions["b.jpg"]) == 1000
    assert captions["c.jpg"] == ('a board of 6"',)
    assert problems == ["data:2: has a quote that does not close"]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_words(photos: Path) -> None:
    assert read(photos, "\ufeffimage;caption\r\na.jpg;ein Hund, groß\r\n".encode()) == (
        {"a.jpg": ("ein Hund, groß",)},
        [],
    )


def test_paths_are_absolute_or_start_at_the_images_or_at_the_table(photos: Path) -> None:
    table = photos / "tables" / "t.csv"
    table.parent.mkdir()
    (table.parent / "near.jpg").touch()

    table.write_text(f"image,caption\n{photos / 'a.jpg'},a dog\nb.jpg,a cat\n")
    assert [p.file for p in read_captioned(table, photos).pictures] == [photos / "a.jpg", photos / "b.jpg"]
    table.write_text(f"image,caption\n{photos / 'a.jpg'},a dog\nnear.jpg,a cat\n")
    assert [p.file for p in read_captioned(table, None).pictures] == [photos / "a.jpg", table.parent / "near.jpg"]


@given(rows=ROWS, delimiter=st.sampled_from(",\t;|"), ending=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_what_csv_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str, ending: str) -> None:
    expected: dict[str, list[str]] = {}
    for name, caption in rows:
        if caption.strip() not in expected.setdefault(name, []):
            expected[name].append(caption.strip())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in expected:
            (folder / name).touch()
        with (folder / "data").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator=ending)
            writer.writerow(["image", "caption"])
            writer.writerows(rows)
        reading = read_captioned(folder / "data", None)

    assert {picture.file.name: list(picture.captions) for picture in reading.pictures} == expected
    assert len(reading.problems) == len(rows) - sum(map(len, expected.values()))
