"""Training data in object storage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch.progress import silent
from pixsearch.storage import to_path
from pixsearch_trainer.data.checking import check_pictures
from pixsearch_trainer.data.reading import read_captioned
from tests.object_storage import Bucket, ObjectStorage
from tests.photos import make_photo, picture_bytes


def karpathy(*names: str) -> bytes:
    return json.dumps(
        {"images": [{"filename": name, "split": "train", "sentences": [{"raw": f"a {name}"}]} for name in names]}
    ).encode()


def test_a_file_of_captions_and_its_pictures_are_read_from_a_bucket(bucket: Bucket) -> None:
    url = bucket.put("captions/dataset.json", karpathy("a.png", "b.png", "missing.png"))
    first = bucket.put("pictures/a.png", picture_bytes("red"))
    second = bucket.put("pictures/b.png", picture_bytes("blue")[:-40])

    reading = read_captioned(to_path(url), to_path(f"{bucket.url}/pictures"))
    checked = check_pictures(reading.pictures, 0, silent)

    assert [(str(picture.file), picture.captions) for picture in reading.pictures] == [
        (first, ("a a.png",)),
        (second, ("a b.png",)),
    ]
    assert [str(problem) for problem in reading.problems] == [f"{url}: entry 3: missing.png is not there"]
    assert [str(picture.file) for picture in checked.pictures] == [first]
    assert [str(problem.file) for problem in checked.problems] == [second]


def test_pictures_lie_beside_the_file_where_nothing_else_is_said(bucket: Bucket) -> None:
    url = bucket.put("dataset.csv", b"image,caption\nsub/a.png,a red square\n")
    picture = bucket.put("sub/a.png", picture_bytes("red"))

    [read] = read_captioned(to_path(url)).pictures

    assert (str(read.file), read.captions) == (picture, ("a red square",))


def test_a_local_file_may_name_pictures_by_their_urls(tmp_path: Path, bucket: Bucket) -> None:
    url = bucket.put("a.png", picture_bytes("red"))
    (tmp_path / "captions.jsonl").write_text(json.dumps({"image": url, "caption": "a red square"}) + "\n")

    [read] = read_captioned(tmp_path / "captions.jsonl").pictures

    assert str(read.file) == url


def test_pictures_of_the_web_are_problems(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("image,caption\nhttps://example.org/a.jpg,a square\na.png,a red square\n")

    reading = read_captioned(tmp_path / "captions.csv")

    assert [picture.file.name for picture in reading.pictures] == ["a.png"]
    [problem] = reading.problems
    assert (problem.line, problem.what) == (
        2,
        "names https://example.org/a.jpg, which is in no storage that can be read",
    )


def test_coco_s_pictures_are_found_in_the_folder_of_their_split(bucket: Bucket) -> None:
    coco = {
        "images": [{"id": 1, "file_name": "COCO_val2014_1.png"}],
        "annotations": [{"image_id": 1, "caption": "a red square"}],
    }
    url = bucket.put("captions.json", json.dumps(coco).encode())
    picture = bucket.put("val2014/COCO_val2014_1.png", picture_bytes("red"))

    [read] = read_captioned(to_path(url)).pictures

    assert (str(read.file), read.split) == (picture, "val")


def test_a_bucket_of_pictures_with_their_words_beside_them_is_read_as_a_folder_is(
    tmp_path: Path, bucket: Bucket
) -> None:
    for name in ("a.png", "deep/b.png", "deep/er/c.png", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture_bytes("red"))
    (tmp_path / "a.txt").write_text("a red square\nanother\n")
    (tmp_path / "deep" / "b.png.txt").write_text("deeper\n")
    (tmp_path / "deep" / "alone.txt").write_text("no picture\n")
    bucket.put_folder(tmp_path)

    here, there = read_captioned(tmp_path), read_captioned(to_path(bucket.url))

    assert [(str(picture.file).removeprefix(bucket.url), picture.captions) for picture in there.pictures] == [
        (str(picture.file).removeprefix(str(tmp_path)), picture.captions) for picture in here.pictures
    ]
    assert [problem.what for problem in there.problems] == [problem.what for problem in here.problems]
    assert len(there.pictures) == 3


def test_many_pictures_of_a_folder_take_one_listing(bucket: Bucket, s3: ObjectStorage) -> None:
    names = [f"{number}.png" for number in range(20)]
    for name in names:
        bucket.put(f"pictures/{name}", b"not looked at")
    url = bucket.put("dataset.json", karpathy(*names))
    before = len(s3.requests())

    assert len(read_captioned(to_path(url), to_path(f"{bucket.url}/pictures")).pictures) == 20

    assert len([request for request in s3.requests()[before:] if "prefix=pictures" in request.path]) == 1


def test_data_that_is_not_there_is_refused_in_words(bucket: Bucket) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.json cannot be read \(No such file or directory\)"):
        read_captioned(to_path(f"{bucket.url}/nothing.json"))
