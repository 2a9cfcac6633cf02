"""Captioned pictures out of Karpathy's JSON."""

from __future__ import annotations

import json
from pathlib import Path

from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import read_captioned


def write(folder: Path, *images: object) -> Path:
    for image in images:
        if isinstance(image, dict) and "filename" in image:
            file = folder / str(image.get("filepath", "")) / str(image["filename"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    dataset = folder / "dataset.json"
    dataset.write_text(json.dumps({"dataset": "test", "images": images}))
    return dataset


def image(name: str, split: str = "train", *captions: str, **more: object) -> dict[str, object]:
    return {"filename": name, "split": split, "sentences": [{"raw": text} for text in captions], **more}


def test_pictures_captions_and_splits_are_read(tmp_path: Path) -> None:
    dataset = write(
        tmp_path, image("a.jpg", "train", " a dog . ", "a puppy"), image("b.jpg", "val", "a rose", label=True)
    )

    reading = read_captioned(dataset, tmp_path)

    assert reading.pictures == [
        CaptionedPicture(tmp_path / "a.jpg", ("a dog .", "a puppy"), "train"),
        CaptionedPicture(tmp_path / "b.jpg", ("a rose",), "val", from_label=True),
    ]
    assert reading.problems == []


def test_restval_is_trained_on_and_a_filepath_is_a_folder_below(tmp_path: Path) -> None:
    dataset = write(tmp_path, image("a.jpg", "restval", "a dog", filepath="val2014"))

    assert read_captioned(dataset, tmp_path).pictures == [
        CaptionedPicture(tmp_path / "val2014" / "a.jpg", ("a dog",), "train")
    ]


def test_a_picture_without_words_is_left_out_and_an_empty_sentence_is_a_problem(tmp_path: Path) -> None:
    dataset = write(tmp_path, image("a.jpg", "train", "  "), image("b.jpg"))

    reading = read_captioned(dataset, tmp_path)

    assert reading.pictures == []
    assert [problem.what for problem in reading.problems] == ["entry 1: an empty caption of a.jpg"]


def test_an_entry_that_is_not_as_the_format_has_it_is_passed_over(tmp_path: Path) -> None:
    dataset = write(
        tmp_path,
        image("a.jpg", "train", "a dog"),
        3,
        {"filename": "b.jpg"},
        {"sentences": [{"raw": "a cat"}]},
        {"filename": "c.jpg", "sentences": [{"tokens": []}]},
        {"filename": "d.jpg", "sentences": [{"raw": 5}]},
        {"filename": "e.jpg", "sentences": "a cat"},
        {"filename": "f.jpg", "sentences": [{"raw": "a cat"}], "split": 1},
    )

    reading = read_captioned(dataset, tmp_path)

    assert [picture.file.name for picture in reading.pictures] == ["a.jpg"]
    assert [problem.what for problem in reading.problems] == [
        "entry 2: is no JSON object",
        'entry 3: has no "sentences"',
        'entry 4: has no "filename"',
        'entry 5: has no "raw"',
        "entry 6: a caption of d.jpg is no text",
        'entry 7: has a "sentences" that is no list',
        "entry 8: has a split that is no text",
    ]
