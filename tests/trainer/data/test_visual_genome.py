"""Captioned pictures out of Visual Genome's region_descriptions.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import read_captioned


def region(image: int, phrase: str) -> dict[str, object]:
    return {"region_id": 1382, "width": 82, "height": 139, "image_id": image, "phrase": phrase, "y": 57, "x": 421}


def test_every_phrase_is_a_caption_of_the_picture_with_that_number(tmp_path: Path) -> None:
    for folder, name in (("VG_100K", "1.jpg"), ("VG_100K_2", "2.jpg"), ("", "3.jpg")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    data = tmp_path / "regions.json"
    many = [f"window {number}" for number in range(60)]
    data.write_text(
        json.dumps(
            [
                {"id": 1, "regions": [region(1, phrase) for phrase in many]},
                {"id": 2, "regions": [region(2, "a clock ")]},
                {"id": 3, "regions": [region(3, "a tree")]},
            ]
        )
    )

    reading = read_captioned(data, tmp_path)

    assert reading.pictures == [
        CaptionedPicture(tmp_path / "VG_100K" / "1.jpg", tuple(many)),
        CaptionedPicture(tmp_path / "VG_100K_2" / "2.jpg", ("a clock",)),
        CaptionedPicture(tmp_path / "3.jpg", ("a tree",)),
    ]
    assert reading.problems == []


def test_two_regions_with_the_same_phrase_are_no_problem(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    data = tmp_path / "regions.json"
    data.write_text(json.dumps([{"id": 1, "regions": [region(1, "a hat"), region(1, "a man"), region(1, "a hat ")]}]))

    reading = read_captioned(data, tmp_path)

    assert reading.pictures == [CaptionedPicture(tmp_path / "1.jpg", ("a hat", "a man"))]
    assert reading.problems == []


def test_a_region_that_is_not_as_the_format_has_it_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    data = tmp_path / "regions.json"
    regions = [region(1, ""), region(1, "a man"), {"region_id": 5}, {"image_id": "1", "phrase": "a cat"}]
    data.write_text(json.dumps([{"id": 1, "regions": regions}, {"id": 2, "regions": 3}]))

    reading = read_captioned(data, tmp_path)

    assert reading.pictures == [CaptionedPicture(tmp_path / "1.jpg", ("a man",))]
    assert [problem.what for problem in reading.problems] == [
        'entry 1: a region has no "image_id"',
        'entry 1: a region has an "image_id" that is no number or a "phrase" that is no text',
        "entry 1: an empty caption of 1.jpg",
        'entry 2: has a "regions" that is no list',
    ]


def test_a_list_that_is_cut_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    whole = json.dumps([{"id": 1, "regions": [region(1, "a man")]}, {"id": 1, "regions": [region(1, "a hat")]}])
    for length in range(1, len(whole)):
        (tmp_path / "regions.json").write_text(whole[:length])
        with pytest.raises(DatasetError, match="cut or damaged"):
            read_captioned(tmp_path / "regions.json", tmp_path)
