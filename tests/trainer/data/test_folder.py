"""Captioned pictures in a folder with name.txt next to name.jpg. See also tests/test_captions.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import read_captioned
from tests.conftest import without_privileges
from tests.photos import make_photo


def test_each_line_of_the_text_beside_a_picture_is_a_caption(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.jpg", "d.png"):
        make_photo(tmp_path / name)
    (tmp_path / "b.txt").write_bytes("\ufeffein Hund \r\n\r\nein großer Hund\n".encode())
    (tmp_path / "a" / "c.jpg.txt").write_text("a cat")

    reading = read_captioned(tmp_path)

    assert reading.pictures == [
        CaptionedPicture(tmp_path / "b.png", ("ein Hund", "ein großer Hund")),
        CaptionedPicture(tmp_path / "d.png", ()),  # usable with a teacher
        CaptionedPicture(tmp_path / "a" / "c.jpg", ("a cat",)),
    ]
    assert reading.problems == []


def test_what_does_not_fit_is_a_problem(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")
    make_photo(tmp_path / "b.png")
    (tmp_path / "a.txt").write_bytes(b"a dog\ncaf\xe9\na dog\n")
    (tmp_path / "a.xmp").write_text("not a picture, and not named like one")
    (tmp_path / "b.txt").write_text(" \n")
    (tmp_path / "lonely.txt").write_text("a cat")
    (tmp_path / "broken.jpg").write_bytes(b"")
    (tmp_path / "broken.txt").write_text("a cow")
    (tmp_path / ".hidden.txt").write_text("a secret")
    os.mkfifo(tmp_path / "pipe.jpg")  # a pipe without a writer

    reading = read_captioned(tmp_path)

    assert {picture.file.name: picture.captions for picture in reading.pictures} == {"a.png": ("a dog",), "b.png": ()}
    assert sorted(str(problem).removeprefix(f"{tmp_path}/") for problem in reading.problems) == [
        "a.txt:2: is not UTF-8",
        "a.txt:3: repeats an earlier caption",
        "b.txt: has no captions",
        "broken.jpg: is not a picture that pixsearch can read",
        "lonely.txt: has no picture next to it",
        "pipe.jpg: is not a picture that pixsearch can read",
    ]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")

    with pytest.raises(DatasetError, match="the folder contains no pictures"):
        read_captioned(tmp_path)


def test_a_folder_that_cannot_be_listed_is_a_problem_and_the_others_are_read(public_folder: Path) -> None:
    make_photo(public_folder / "a.png")
    (public_folder / "closed").mkdir(mode=0)

    with without_privileges():
        reading = read_captioned(public_folder)

    assert [picture.file.name for picture in reading.pictures] == ["a.png"]
    assert list(map(str, reading.problems)) == [f"{public_folder / 'closed'}: cannot be listed (Permission denied)"]
