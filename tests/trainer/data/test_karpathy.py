"""Captioned pictures out of Karpathy's JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.karpathy import read_karpathy
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions, of_split


def write(folder: Path, *images: dict[str, object]) -> Path:
    for image in images:
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

    assert read_karpathy(dataset, tmp_path) == [
        CaptionedPicture(tmp_path / "a.jpg", ("a dog .", "a puppy"), "train"),
        CaptionedPicture(tmp_path / "b.jpg", ("a rose",), "val", from_label=True),
    ]


def test_restval_is_trained_on_and_a_filepath_is_a_folder_below(tmp_path: Path) -> None:
    dataset = write(tmp_path, image("a.jpg", "restval", "a dog", filepath="val2014"))

    assert of_split(read_karpathy(dataset, tmp_path), "train") == [
        CaptionedPicture(tmp_path / "val2014" / "a.jpg", ("a dog",), "train")
    ]


def test_a_picture_without_words_is_left_out(tmp_path: Path) -> None:
    assert read_karpathy(write(tmp_path, image("a.jpg", "train", "  "), image("b.jpg")), tmp_path) == []


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    dataset = write(tmp_path, image("a.jpg", "train", "a dog"))
    (tmp_path / "a.jpg").unlink()

    with pytest.raises(DatasetError, match=r"a\.jpg, which is not there"):
        read_karpathy(dataset, tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"images": 3}', '{"images": [{"filename": "a.jpg"}]}', '{"images": [3]}'])
def test_another_format_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    dataset = tmp_path / "dataset.json"
    dataset.write_text(text)

    with pytest.raises(DatasetError, match="not in Karpathy's format") as refusal:
        read_karpathy(dataset, tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_caption_that_two_pictures_share_is_one_sentence_of_both() -> None:
    pictures = [CaptionedPicture(Path("a"), ("x", "y")), CaptionedPicture(Path("b"), ("y", "z"))]

    captions = Captions.of(pictures)

    assert captions.sentences == ["x", "y", "z"]
    assert captions.of_picture == [[0, 1], [1, 2]]
    assert captions.matches().tolist() == [[True, False], [True, True], [False, True]]
