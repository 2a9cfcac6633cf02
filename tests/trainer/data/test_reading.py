"""The supported data set formats, rejected data, and several data sets combined."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.data.reading import DataSet, Reading, read_captioned, read_sets
from tests.photos import picture_bytes
from tests.unsuitable_files import UNSUITABLE, in_time

CSV = 'image,split,caption\n1.jpg,val,"a ""big"" dog"\n./1.jpg,val,a cat\n'
JSONL = '{"image": "1.jpg", "caption": "a dog"}\n{"image": "1.jpg", "captions": ["a cat"]}\n'
KARPATHY = {"images": [{"filename": "1.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}]}
COCO = {"images": [{"id": 5, "file_name": "1.jpg"}], "annotations": [{"image_id": 5, "caption": "a dog"}]}
REGIONS = [{"id": 1, "regions": [{"image_id": 1, "phrase": "a dog"}]}]


@pytest.mark.parametrize(
    "content",
    [
        *(json.dumps(KARPATHY), json.dumps(KARPATHY, indent=2), json.dumps(COCO), json.dumps(COCO, indent=2)),
        *(json.dumps(REGIONS), "\n " + json.dumps(REGIONS, indent=2) + "\n", JSONL[:39], JSONL[:38]),
        *("image,caption\n1.jpg,a dog\n", "1.jpg\ta dog\n"),
    ],
)
def test_the_content_tells_the_format_and_the_name_does_not(tmp_path: Path, content: str) -> None:
    (tmp_path / "1.jpg").touch()
    for name, mark in (("data.json", ""), ("data.csv", "\ufeff"), ("data", "")):
        (tmp_path / name).write_text(mark + content, encoding="utf-8")

        assert read_captioned(tmp_path / name).pictures == [CaptionedPicture(tmp_path / "1.jpg", ("a dog",))]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not name a picture column"),
        (b"id,words\n1,a dog\n", "does not name a picture column"),
        (picture_bytes(), "does not name a picture column"),
        ("image,caption\n1.jpg,a dog\n".encode("utf-16"), "UTF-16"),
        (b"{}", "it has no entries"),
        (b'{"a":\n 5}', "has no picture field"),
        (b'{"images":\n [{', "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[1, 2]", "is not a JSON object"),
        (b"[{} {}]", "is not valid JSON"),
        (b'{"images": [{"filename": "1.jpg"}]}', 'has no valid "sentences"'),
        (b'{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}', "refers to image 1"),
        (b"image,caption\n1.jpg\n", "line 2 has 1 column, expected 2"),
    ],
)
def test_what_is_in_none_of_the_formats_is_refused_in_one_line_that_names_them(
    tmp_path: Path, content: bytes, why: str
) -> None:
    (tmp_path / "data.json").write_bytes(content)

    with pytest.raises(DatasetError) as refusal:
        read_captioned(tmp_path / "data.json")

    message = str(refusal.value)
    assert why in message
    assert "\n" not in message
    for name in ("Karpathy", "COCO", "region_descriptions.json", "CSV", "TSV", "JSONL", "folder with name.txt"):
        assert name in message


def test_data_that_does_not_exist_and_a_folder_without_its_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,caption\na.jpg,a dog\nb.jpg,a cat\n")

    with pytest.raises(DatasetError, match=r"none\.json cannot be read \(No such file"):
        read_captioned(tmp_path / "none.json")
    with pytest.raises(
        DatasetError, match=r"elsewhere contains none of the pictures listed in .*, such as a\.jpg.*Check --images"
    ):
        read_captioned(tmp_path / "t.csv", tmp_path / "elsewhere")


def test_a_picture_is_looked_for_once_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").touch()
    data = tmp_path / "t.csv"
    data.write_text("image,caption\n" + "".join(f"a.jpg,dog {number}\nb.jpg,cat {number}\n" for number in range(50)))
    looked: list[Path] = []
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: looked.append(path) or is_file(path))  # type: ignore[func-returns-value]

    reading = read_captioned(data)

    assert len(looked) == len(set(looked))
    assert len(reading.pictures[0].captions) == 50
    assert [str(problem) for problem in reading.problems] == [f"{data}:3: b.jpg does not exist"]


def test_a_name_that_no_file_can_have_is_a_picture_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    names = [str(tmp_path / "a.jpg"), "x" * 5000, "nul\0.jpg", "a.jpg/b.jpg", "."]
    (tmp_path / "t").write_text("\n".join(json.dumps({"image": name, "caption": "a dog"}) for name in names))

    reading = read_captioned(tmp_path / "t", tmp_path / "elsewhere")

    assert [picture.file for picture in reading.pictures] == [tmp_path / "a.jpg"]
    assert [problem.line for problem in reading.problems] == [2, 3, 4, 5]
    assert all(len(str(problem)) < 300 and str(problem).isprintable() for problem in reading.problems)


@given(
    content=st.sampled_from([json.dumps(KARPATHY), json.dumps(COCO), json.dumps(REGIONS, indent=1), CSV, JSONL]),
    start=st.integers(0, 200),
    removed=st.integers(0, 5),
    put=st.binary(max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused_in_one_line(content: str, start: int, removed: int, put: bytes) -> None:
    refusal, reading = "", Reading([], [])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1.jpg").touch()
        (Path(folder) / "data").write_bytes(content.encode()[:start] + put + content.encode()[start + removed :])
        try:
            reading = read_captioned(Path(folder) / "data")
        except DatasetError as error:
            refusal = str(error)

    assert all(message.isprintable() for message in [refusal, *map(str, reading.problems)])
    assert all(picture.captions for picture in reading.pictures)


def make_set(folder: Path, name: str, weight: float = 1.0, **splits: str) -> DataSet:
    """Make a data set with one picture per letter.

    The same letter is the same file, and the file for x does not exist.
    """
    rows = [f"{picture}.png,{split},{picture} of {name}" for split, names in splits.items() for picture in names]
    for picture in "".join(splits.values()).replace("x", ""):
        (folder / f"{picture}.png").touch()
    (folder / name).write_text("\n".join(["image,split,caption", *rows]))
    return DataSet(folder / name, weight=weight)


def test_all_sets_are_trained_on_but_for_pictures_of_any_val_which_are_measured_on_once(tmp_path: Path) -> None:
    first = make_set(tmp_path, "first", train="abx")
    second = make_set(tmp_path, "second", 0.2, train="cx", val="d", test="e")
    third = make_set(tmp_path, "third", train="f", val="dgb")

    reading = read_sets([first, second, third])

    training, val = of_split(reading.pictures, "train"), of_split(reading.pictures, "val")
    assert [(picture.file.stem, picture.weight) for picture in training] == [("a", 1), ("c", 0.2), ("f", 1)]
    assert [picture.captions for picture in val] == [("d of second",), ("g of third",), ("b of third",)]
    assert [problem.file.name for problem in reading.problems] == ["first", "second"]


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_data_that_are_no_file_or_endless_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    UNSUITABLE[kind](tmp_path / "data.json")

    with in_time(), pytest.raises(DatasetError, match=r"data\.json cannot be read \((not a regular|larger than 2 GiB)"):
        read_captioned(tmp_path / "data.json")
