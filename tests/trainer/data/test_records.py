"""Captioned pictures out of JSONL, or a JSON list of the same objects."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import read_captioned

CAPTIONS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30).filter(str.strip)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    return tmp_path


def test_fields_are_found_by_their_names_and_captions_may_be_a_list(photos: Path) -> None:
    data = photos / "data"
    data.write_text(
        '{"file_name": "a.jpg", "text": "a dog", "width": 3}\n'
        '{"image": "b.jpg", "captions": ["a cat", "a kitten"], "split": "val"}\n'
        '\n{"image": "c.jpg", "caption": ["a cow"], "image_id": 5, "split": null}\n'
    )

    reading = read_captioned(data, None)

    assert reading.pictures == [
        CaptionedPicture(photos / "a.jpg", ("a dog",)),
        CaptionedPicture(photos / "b.jpg", ("a cat", "a kitten"), "val"),
        CaptionedPicture(photos / "c.jpg", ("a cow",)),
    ]
    assert reading.problems == []


def test_a_json_list_of_records_is_read_too(photos: Path) -> None:
    data = photos / "data"
    data.write_text(json.dumps([{"image": "a.jpg", "caption": "a dog"}, {"image": "b.jpg"}], indent=2))

    reading = read_captioned(data, None)

    assert reading.pictures == [CaptionedPicture(photos / "a.jpg", ("a dog",))]
    assert [problem.what.split(" (")[0] for problem in reading.problems] == ["entry 2: has no caption"]


def test_bad_lines_are_told_by_their_numbers(photos: Path) -> None:
    data = photos / "data"
    data.write_bytes(
        b'{"image": "a.jpg", "caption": \n'
        b'{"image": "a.jpg", "caption": "a dog"}\n'
        b"7\n"
        b'{"caption": "a cat"}\n'
        b'{"image": "b.jpg"}\n'
        b'{"image": 5, "caption": "a cat"}\n'
        b'{"image": "b.jpg", "caption": null}\n'
        b'{"image": "b.jpg", "caption": "caf\xe9"}\n'
        b'{"image": "b.jpg", "caption": "half an emoji \\ud83d"}\n'
        b'{"image": "b.jpg", "caption": ["", "a cat"]}\n' + b"[" * 100_000 + b"\n"
    )

    reading = read_captioned(data, None)

    assert {p.file.name: p.captions for p in reading.pictures} == {"a.jpg": ("a dog",), "b.jpg": ("a cat",)}
    assert [(problem.line, problem.what.split(" (")[0]) for problem in reading.problems] == [
        (1, "is no JSON"),
        (3, "is no JSON object"),
        (4, "names no picture"),
        (5, "has no caption"),
        (6, "names no picture"),
        (7, "a caption of b.jpg is no text"),
        (8, "a caption of b.jpg is not UTF-8"),
        (9, "a caption of b.jpg is not UTF-8"),
        (10, "an empty caption of b.jpg"),
        (11, "is no JSON"),
    ]


@given(captions=st.lists(CAPTIONS, min_size=1, max_size=8), ascii_only=st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_json_writes_is_read_back(captions: list[str], ascii_only: bool) -> None:
    expected = list(dict.fromkeys(caption.strip() for caption in captions))
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "a.jpg").touch()
        lines = [json.dumps({"image": "a.jpg", "caption": text}, ensure_ascii=ascii_only) for text in captions]
        (Path(place) / "data").write_text("\n".join(lines), encoding="utf-8")
        reading = read_captioned(Path(place) / "data", None)

    assert list(reading.pictures[0].captions) == expected
    assert len(reading.problems) == len(captions) - len(expected)
