"""Which format a data set is in, and what is refused."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.reading import Reading, read_captioned
from tests.photos import picture_bytes

CSV = 'image,split,caption\n1.jpg,val,"a ""big"" dog"\n./1.jpg,val,a cat\n'
JSONL = '{"image": "1.jpg", "caption": "a dog"}\n{"image": "1.jpg", "captions": ["a cat"]}\n'
KARPATHY = {"images": [{"filename": "1.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}]}
COCO = {"images": [{"id": 5, "file_name": "1.jpg"}], "annotations": [{"image_id": 5, "caption": "a dog"}]}
REGIONS = [{"id": 1, "regions": [{"image_id": 1, "phrase": "a dog"}]}]


@pytest.mark.parametrize("name", ["data.json", "data.csv", "data.txt", "data"])
@pytest.mark.parametrize(
    "content",
    [
        json.dumps(KARPATHY),
        json.dumps(KARPATHY, indent=2),
        json.dumps(COCO),
        json.dumps(COCO, indent=2),
        json.dumps(REGIONS),
        "\n " + json.dumps(REGIONS, indent=2) + "\n",
        "image,caption\n1.jpg,a dog\n",
        "1.jpg\ta dog\n",
        '{"image": "1.jpg", "caption": "a dog"}\n',
        '{"image": "1.jpg", "caption": "a dog"}',
    ],
)
def test_the_content_tells_the_format_and_the_name_does_not(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "1.jpg").touch()
    for mark in ("", "\ufeff"):
        (tmp_path / name).write_text(mark + content, encoding="utf-8")

        assert read_captioned(tmp_path / name, None).pictures == [CaptionedPicture(tmp_path / "1.jpg", ("a dog",))]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"a dog sits\non a mat\n", "does not name a column"),
        (b"id,words\n1,a dog\n", "does not name a column"),
        (picture_bytes(), "does not name a column"),
        ("image,caption\n1.jpg,a dog\n".encode("utf-16"), "UTF-16"),
        (b"{}", "names no picture"),
        (b'{"a":\n 5}', 'no list of "images"'),
        (b'{"images":\n [{', "cut or damaged"),
        (b"[" * 100_000, "cut or damaged"),
        (b"[1, 2]", "no JSON object"),
        (b"[{} {}]", "cut or damaged"),
        (b'{"images": 3}', "names no picture"),
        (b'{"images": [3]}', "no JSON object"),
        (b'{"images": [{"filename": "1.jpg"}]}', 'has no "sentences"'),
        (b'{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}', 'has no "caption"'),
        (b"image,caption\n1.jpg\n", "line 2 has 1 columns, not 2"),
    ],
)
def test_what_is_none_of_the_formats_is_refused_in_one_line_that_names_them(
    tmp_path: Path, content: bytes, why: str
) -> None:
    data = tmp_path / "data.json"
    data.write_bytes(content)

    with pytest.raises(DatasetError) as refusal:
        read_captioned(data, tmp_path)

    message = str(refusal.value)
    assert why in message
    assert "\n" not in message
    for name in ("Karpathy", "COCO", "region_descriptions.json", "CSV", "TSV", "JSONL", "folder with name.txt"):
        assert name in message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.json cannot be read \(No such file"):
        read_captioned(tmp_path / "none.json", None)


def test_when_not_one_picture_is_there_the_folder_is_what_to_look_at(tmp_path: Path) -> None:
    data = tmp_path / "t.csv"
    data.write_text("image,caption\na.jpg,a dog\nb.jpg,a cat\nb.jpg,a kitten\n")

    with pytest.raises(DatasetError, match=r"not one of the 2 pictures .* Check --images") as refusal:
        read_captioned(data, tmp_path / "elsewhere")
    assert str(tmp_path / "elsewhere" / "a.jpg") in str(refusal.value)


def test_a_picture_is_looked_for_once_however_many_captions_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").touch()
    data = tmp_path / "t.csv"
    data.write_text("image,caption\n" + "".join(f"a.jpg,dog {number}\nb.jpg,cat {number}\n" for number in range(50)))
    looked: list[str] = []
    is_file = Path.is_file

    def noting(path: Path) -> bool:
        looked.append(path.name)
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", noting)

    reading = read_captioned(data, None)

    assert looked == ["a.jpg", "b.jpg"]
    assert len(reading.pictures[0].captions) == 50
    assert [str(problem) for problem in reading.problems] == [f"{data}:3: b.jpg is not there"]


def test_a_name_that_no_file_can_have_is_a_picture_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    data = tmp_path / "t.jsonl"
    names = ["a.jpg", "x" * 5000, "nul\0.jpg", "a.jpg/b.jpg", "."]
    data.write_text("\n".join(json.dumps({"image": name, "caption": "a dog"}) for name in names))

    reading = read_captioned(data, None)

    assert [picture.file.name for picture in reading.pictures] == ["a.jpg"]
    assert [problem.line for problem in reading.problems] == [2, 3, 4, 5]
    assert all(len(str(problem)) < 300 and str(problem).isprintable() for problem in reading.problems)


@given(
    content=st.sampled_from([json.dumps(KARPATHY), json.dumps(COCO), json.dumps(REGIONS, indent=1), CSV, JSONL]),
    place=st.integers(0, 200),
    removed=st.integers(0, 5),
    put=st.binary(max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused_in_one_line(content: str, place: int, removed: int, put: bytes) -> None:
    whole = content.encode()
    refusal = ""
    reading = Reading([], [])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1.jpg").touch()
        data = Path(folder) / "data"
        data.write_bytes(whole[:place] + put + whole[place + removed :])
        try:
            reading = read_captioned(data, None)
        except DatasetError as error:
            refusal = str(error)

    assert all(message.isprintable() for message in [refusal, *map(str, reading.problems)])
    assert all(picture.captions for picture in reading.pictures)
