"""Several data sets as one."""

from __future__ import annotations

import json
from pathlib import Path

from pixsearch_trainer.data.sets import DataSet, read_sets
from tests.photos import make_photo


def make_set(folder: Path, name: str, **splits: list[str]) -> DataSet:
    """A set in Karpathy's format; pictures of a name are the same file in all sets."""
    images = []
    for split, pictures in splits.items():
        for picture in pictures:
            make_photo(folder / f"{picture}.png")
            images.append(
                {"filename": f"{picture}.png", "split": split, "sentences": [{"raw": f"{picture} of {name}"}]}
            )
    (folder / f"{name}.json").write_text(json.dumps({"images": images}))
    return DataSet(folder / f"{name}.json")


def named(pictures: object, split: str) -> list[str]:
    assert isinstance(pictures, list)
    return [picture.file.stem for picture in pictures if picture.split == split]


def test_all_are_trained_on_and_the_first_that_has_a_val_is_measured_on(tmp_path: Path) -> None:
    first = make_set(tmp_path, "first", train=["a", "b"])
    second = make_set(tmp_path, "second", train=["c"], val=["d"], test=["e"])
    third = make_set(tmp_path, "third", train=["f"], val=["g"])

    pictures = read_sets([first, second, third]).pictures

    assert named(pictures, "train") == ["a", "b", "c", "f"]
    assert named(pictures, "val") == ["d"]


def test_a_picture_that_is_measured_on_is_never_trained_on(tmp_path: Path) -> None:
    first = make_set(tmp_path, "first", train=["a"], val=["b"])
    second = make_set(tmp_path, "second", train=["b", "c"])

    pictures = read_sets([first, second]).pictures

    assert named(pictures, "train") == ["a", "c"]


def test_a_picture_is_drawn_as_often_as_its_set_says(tmp_path: Path) -> None:
    first = make_set(tmp_path, "first", train=["a"])
    second = make_set(tmp_path, "second", train=["b"])

    pictures = read_sets([first, DataSet(second.data, weight=0.2)]).pictures

    assert [picture.weight for picture in pictures] == [1.0, 0.2]


def test_problems_of_all_sets_are_told_together(tmp_path: Path) -> None:
    first = make_set(tmp_path, "first", train=["a", "b", "c"])
    second = make_set(tmp_path, "second", train=["d", "e"])
    (tmp_path / "a.png").unlink()
    (tmp_path / "d.png").unlink()

    reading = read_sets([first, second])

    assert [problem.file.name for problem in reading.problems] == ["first.json", "second.json"]
    assert named(reading.pictures, "train") == ["b", "c", "e"]
