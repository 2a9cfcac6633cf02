"""Training data in object storage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.errors import DatasetError
from pixsearch.storage import to_path
from pixsearch_trainer.data.reading import read_captioned
from tests.object_storage import Bucket, ObjectStorage
from tests.photos import picture_bytes


def karpathy(*names: str) -> bytes:
    images = [{"filename": name, "split": "train", "sentences": [{"raw": f"a {name}"}]} for name in names]
    return json.dumps({"images": images}).encode()


def test_a_file_of_captions_and_its_pictures_are_read_from_a_bucket(bucket: Bucket) -> None:
    url = bucket.put("captions/dataset.json", karpathy("a.png", "missing.png"))
    picture = bucket.put("pictures/a.png", b"not looked at")

    reading = read_captioned(to_path(url), to_path(f"{bucket.url}/pictures"))

    assert [(str(read.file), read.captions) for read in reading.pictures] == [(picture, ("a a.png",))]
    assert [str(problem) for problem in reading.problems] == [f"{url}: entry 2: missing.png does not exist"]


@pytest.mark.parametrize("name", ["sub/a.png", "val2014/sub/a.png"])
def test_pictures_lie_beside_the_file_or_in_a_folder_of_coco_unless_told_otherwise(bucket: Bucket, name: str) -> None:
    url = bucket.put("dataset.csv", b"image,caption\nsub/a.png,a red square\n")
    picture = bucket.put(name, b"not looked at")

    assert [str(read.file) for read in read_captioned(to_path(url)).pictures] == [picture]


def test_a_local_file_may_name_pictures_in_storage_but_not_on_the_web(tmp_path: Path, bucket: Bucket) -> None:
    url = bucket.put("a.png", b"not looked at")
    (tmp_path / "t.csv").write_text(f"image,caption\nhttps://example.org/a.jpg,a square\n{url},a red square\n")

    reading = read_captioned(tmp_path / "t.csv")

    assert [str(picture.file) for picture in reading.pictures] == [url]
    assert [(problem.line, problem.what) for problem in reading.problems] == [
        (2, "refers to https://example.org/a.jpg, an unsupported kind of URL")
    ]


def test_a_bucket_of_pictures_with_captions_beside_them_is_read_like_a_folder(tmp_path: Path, bucket: Bucket) -> None:
    for name in ("a.png", "deep/b.png", "deep/er/c.png", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture_bytes("red"))
    (tmp_path / "a.txt").write_text("a red square\nanother\n")
    (tmp_path / "deep" / "b.png.txt").write_text("deeper\n")
    (tmp_path / "deep" / "alone.txt").write_text("no picture\n")
    bucket.put_folder(tmp_path)

    here, there = read_captioned(tmp_path), read_captioned(to_path(bucket.url))

    assert [p.captions for p in there.pictures] == [p.captions for p in here.pictures]
    assert [str(p.file).removeprefix(bucket.url) for p in there.pictures] == ["/a.png", "/deep/b.png", "/deep/er/c.png"]
    assert [problem.what for problem in there.problems] == [problem.what for problem in here.problems]


def test_many_pictures_of_a_folder_take_one_listing(bucket: Bucket, s3: ObjectStorage) -> None:
    names = [f"{number}.png" for number in range(20)]
    for name in names:
        bucket.put(f"pictures/{name}", b"not looked at")
    url = bucket.put("dataset.json", karpathy(*names))
    before = len(s3.requests())

    assert len(read_captioned(to_path(url), to_path(f"{bucket.url}/pictures")).pictures) == 20

    assert len([request for request in s3.requests()[before:] if "prefix=pictures" in request.path]) == 1


def test_data_that_does_not_exist_is_refused_in_plain_words(bucket: Bucket) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.json cannot be read \(No such file or directory\)"):
        read_captioned(to_path(f"{bucket.url}/nothing.json"))
