"""Captioned pictures out of COCO's captions files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import read_captioned


def write(file: Path, names: list[str], captions: list[tuple[int, str]]) -> Path:
    """Pictures get the ids 1, 2, 3."""
    file.write_text(
        json.dumps(
            {
                "info": {"year": 2017},
                "licenses": [],
                "images": [{"id": number, "file_name": name} for number, name in enumerate(names, 1)],
                "annotations": [{"image_id": image, "id": 7, "caption": caption} for image, caption in captions],
            }
        )
    )
    return file


def test_captions_of_a_picture_come_together_though_they_are_scattered(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    data = write(tmp_path / "x.json", ["a.jpg", "b.jpg"], [(2, "a cat"), (1, "a dog"), (2, "a kitten\n")])

    reading = read_captioned(data, tmp_path)

    assert reading.pictures == [
        CaptionedPicture(tmp_path / "b.jpg", ("a cat", "a kitten")),
        CaptionedPicture(tmp_path / "a.jpg", ("a dog",)),
    ]
    assert reading.problems == []


@pytest.mark.parametrize(
    ("file", "folder", "picture", "split"),
    [
        ("captions_val2017.json", "pictures", "000000000042.jpg", "val"),
        ("captions_train2014.json", "pictures", "COCO_train2014_000000000042.jpg", "train"),
        ("all.json", "pictures", "COCO_val2014_000000000042.jpg", "val"),
        ("captions_train2014.json", "pictures", "COCO_val2014_000000000042.jpg", "val"),
        ("captions.json", "val2017", "000000000042.jpg", "val"),
        ("my-val.json", "pictures", "42.jpg", "val"),
        ("test.json", "pictures", "42.jpg", "test"),
        ("interval.json", "trainees", "42.jpg", "train"),
        ("captions.json", "pictures", "val d'Aosta.jpg", "train"),
        ("captions.json", "test of mine", "42.jpg", "train"),
    ],
)
def test_the_split_is_told_from_names(tmp_path: Path, file: str, folder: str, picture: str, split: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / picture).touch()

    reading = read_captioned(write(tmp_path / file, [picture], [(1, "a dog")]), tmp_path / folder)

    assert [picture.split for picture in reading.pictures] == [split]


def test_pictures_are_found_in_the_folders_that_coco_unpacks_to(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "42.jpg").touch()

    reading = read_captioned(write(tmp_path / "captions_val2017.json", ["42.jpg"], [(1, "a dog")]), tmp_path)

    assert reading.pictures == [CaptionedPicture(tmp_path / "val2017" / "42.jpg", ("a dog",), "val")]


def test_annotations_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    data = tmp_path / "captions.json"
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}, {"id": 2}, {"id": None}]
    annotations = [
        {"image_id": 1, "caption": "a dog"},
        {"image_id": 9, "caption": "a cat"},
        {"image_id": 1, "bbox": []},
    ]
    data.write_text(json.dumps({"images": images, "annotations": annotations}))

    reading = read_captioned(data, None)

    assert reading.pictures == [CaptionedPicture(tmp_path / "a.jpg", ("a dog",))]
    assert [problem.what for problem in reading.problems] == [
        "images, entry 2: has the id 1, which another has before",
        'images, entry 3: has no "file_name"',
        'images, entry 4: has a "id" that is no number',
        "annotations, entry 2: is of the image 9, which is not among the images",
        'annotations, entry 3: has no "caption"',
    ]
