"""Queries, labels and near misses in Karpathy's JSON, and how packs store them."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from pixsearch.progress import silent
from pixsearch_trainer.data.pack import read_pack, write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture, captions_only
from pixsearch_trainer.data.reading import Reading, read_captioned
from tests.photos import picture_bytes

FURTHER = {"queries": ["a dog", "dog"], "labels": [{"raw": "beagle"}, "pet"], "false": ["a cat on a beach", "cat"]}


def read(folder: Path, **further: object) -> Reading:
    (folder / "1.jpg").write_bytes(picture_bytes())
    image = {"filename": "1.jpg", "split": "train", "sentences": [{"raw": "a dog on a beach"}], **further}
    (folder / "dataset.json").write_text(json.dumps({"images": [image]}))
    return read_captioned(folder / "dataset.json")


def test_a_picture_may_have_queries_labels_and_near_misses(tmp_path: Path) -> None:
    reading = read(tmp_path, **FURTHER)

    assert reading.problems == []
    texts = {"queries": ("a dog", "dog"), "labels": ("beagle", "pet"), "near_misses": ("a cat on a beach", "cat")}
    assert reading.pictures == [CaptionedPicture(tmp_path / "1.jpg", ("a dog on a beach",), **texts)]  # type: ignore[arg-type]
    assert captions_only(reading.pictures) == [CaptionedPicture(tmp_path / "1.jpg", ("a dog on a beach",))]
    assert read(tmp_path, queries=None, false=[]).pictures == captions_only(reading.pictures)


@pytest.mark.parametrize(
    ("further", "fault"),
    [
        ({"queries": ["dog", " ", "dog"]}, "a query of 1.jpg is empty, another is a duplicate: dog"),
        ({"queries": 5}, "a query of 1.jpg is not text"),
        ({"labels": [{"name": "dog"}]}, "a label of 1.jpg is not text"),
        ({"labels": {"raw": ""}}, "a label of 1.jpg is empty"),
        ({"queries": ["dog"], "false": ["dog"]}, "a near miss of 1.jpg is also a true text of this picture: dog"),
        ({"labels": [""], "false": [None, "cat"]}, "a label of 1.jpg is empty; a near miss of 1.jpg is not text"),
    ],
)
def test_a_fault_in_a_further_text_is_reported_and_costs_that_text_alone(
    tmp_path: Path, further: dict[str, object], fault: str
) -> None:
    reading = read(tmp_path, **{"false": ["cat"], **further})

    assert [problem.what for problem in reading.problems] == [f"entry 1: {fault}"]
    assert [picture.captions for picture in reading.pictures] == [("a dog on a beach",)]
    assert reading.pictures[0].near_misses == (() if "true text" in fault else ("cat",))


def test_no_other_format_can_have_the_key_by_which_readers_hand_on_further_texts(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    (tmp_path / "t.jsonl").write_text('{"image": "1.jpg", "caption": "a dog", "further texts": 5}\n')

    assert read_captioned(tmp_path / "t.jsonl").pictures == [CaptionedPicture(tmp_path / "1.jpg", ("a dog",))]


def test_a_pack_carries_all_texts_and_one_of_an_earlier_version_has_captions_alone(tmp_path: Path) -> None:
    pictures, pack, earlier = read(tmp_path, **FURTHER).pictures, tmp_path / "pack.zip", tmp_path / "earlier.zip"

    assert write_pack(pictures, pack, 64, silent) == []
    with ZipFile(pack) as archive, ZipFile(earlier, "w") as older:
        for name in archive.namelist():
            items = {
                "kind": "CaptionedPicture",
                "file": "000000.jpg",
                "captions": ["a dog"],
                "split": "val",
                "weight": 1,
            }
            older.writestr(name, json.dumps([items]) if name == "items.json" else archive.read(name))

    (packed,), (old,) = read_pack(pack), read_pack(earlier)
    assert vars(packed) == {**vars(pictures[0]), "file": pack / "000000.jpg"}
    assert old == CaptionedPicture(earlier / "000000.jpg", ("a dog",), "val")
