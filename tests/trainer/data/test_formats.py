"""Captioned pictures in published JSON formats, in JSON records, and in tables."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixsearch.errors import DatasetError
from pixsearch_trainer.data.reading import read_captioned

# No \r: csv.writer leaves it unquoted when lines end in \n, and csv.reader then refuses the file.
CAPTIONS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30).filter(str.strip)
ROWS = st.lists(st.tuples(st.sampled_from(["a.jpg", "b c.jpg", 'd".jpg', "e,f.jpg"]), CAPTIONS), min_size=1, max_size=8)
B = {"filename": "b.jpg"}
TWICE = 2 * [{"raw": "a"}]
MANY = tuple(f"window {number}" for number in range(60))


def karpathy(*images: tuple[str, str, list[str]], **more: object) -> object:
    parsed = [(name, split, [{"raw": text} for text in captions]) for name, split, captions in images]
    return {"images": [{"filename": n, "split": split, "sentences": texts, **more} for n, split, texts in parsed]}


def coco(names: dict[int, str], *captions: tuple[int, str]) -> object:
    images = [{"id": number, "file_name": name} for number, name in names.items()]
    annotations = [{"image_id": image, "id": 7, "caption": caption} for image, caption in captions]
    return {"info": {"year": 2017}, "images": images, "annotations": annotations}


def regions(image: int, *phrases: str) -> object:
    return {"id": image, "regions": [{"region_id": 1382, "image_id": image, "phrase": phrase} for phrase in phrases]}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "val2014/d", "val2017/42", "VG_100K/1", "VG_100K_2/2", "3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.jpg").touch()
    return tmp_path


CASES: dict[str, tuple[object, dict[str, tuple[str, ...]], list[str]]] = {
    "Karpathy's JSON": (
        karpathy(("b.jpg", "val", [" a dog . ", "a pup"]), ("c.jpg", "val", []), ("a.jpg", "val", ["cat"]), label=True),
        {"b.jpg": ("a dog .", "a pup"), "a.jpg": ("cat",)},
        [],
    ),
    "Karpathy's JSON of COCO": (karpathy(("d.jpg", "val", ["a"]), filepath="val2014"), {"val2014/d.jpg": ("a",)}, []),
    "Karpathy's JSON with faults": (
        {"images": [3, B, {"sentences": []}, {**B, "sentences": [5]}, {**B, "sentences": [{"raw": ""}, *TWICE]}]},
        {"b.jpg": ("a",)},
        [
            *("entry 1: is not a JSON object", 'entry 2: has no valid "sentences"', 'entry 3: has no valid "filename"'),
            *("entry 4: is not a JSON object", "entry 5: a caption of b.jpg is empty, another is a duplicate: a"),
        ],
    ),
    "COCO captions, those of a picture scattered": (
        coco({1: "a.jpg", 2: "b.jpg"}, (2, "a cat"), (3, "a cow"), (1, "a dog"), (2, "a kitten\n"), (1, "")),
        {"b.jpg": ("a cat", "a kitten"), "a.jpg": ("a dog",)},
        [
            'annotation 2: refers to image 3, which is not in "images"',
            "annotation 5: a caption of a.jpg is empty",
        ],
    ),
    "COCO captions, as its archives unpack": (coco({1: "42.jpg"}, (1, "a dog")), {"val2017/42.jpg": ("a dog",)}, []),
    "Visual Genome's regions, as its archives unpack, two with one phrase": (
        [regions(1, *MANY), regions(2, "a hat", "a clock ", "a hat "), regions(3, "a tree"), regions(4, "a cow")],
        {"VG_100K/1.jpg": MANY, "VG_100K_2/2.jpg": ("a hat", "a clock"), "3.jpg": ("a tree",)},
        ["entry 4: 4.jpg does not exist"],
    ),
    "a list of records": (
        [{"file_name": "a.jpg", "text": "a dog", "id": 3}, {"image": "b.jpg", "captions": ["a cat", 3, "a kitten"]}],
        {"a.jpg": ("a dog",), "b.jpg": ("a cat", "a kitten")},
        ["entry 2: a caption of b.jpg is not text"],
    ),
    "a table, its pictures in the order of first appearance": (
        "image,split,caption\nb.jpg,,a cat\na.jpg,val,a dog\n./b.jpg,,a kitten\na.jpg,train,a puppy\n",
        {"b.jpg": ("a cat", "a kitten"), "a.jpg": ("a dog",)},
        ["5: a.jpg is in split train here, but in split val above"],
    ),
    "Flickr8k's token file, which needs no header": (
        "a.jpg#0\tA dog .\na.jpg#1\tA puppy .\nb.jpg#0\tA cat .\nb.jpg\n",
        {"a.jpg": ("A dog .", "A puppy ."), "b.jpg": ("A cat .",)},
        ["4: has 1 column, expected 2"],
    ),
    "Flickr30k's results, which have one bad row": (
        "image_name| comment_number| comment\na.jpg| 0| A dog .\nb.jpg| 4   A dog runs .\nb.jpg| 1| A cat .\n",
        {"a.jpg": ("A dog .",), "b.jpg": ("A cat .",)},
        ["3: has 2 columns, expected 3"],
    ),
    "a quote that does not close costs one line": (
        'image,caption\na.jpg,"a dog\nb.jpg,"a ""big"" cat"\nc.jpg,a cow\n',
        {"b.jpg": ('a "big" cat',), "c.jpg": ("a cow",)},
        ["2: has an unclosed or misplaced quote, or a field larger than 128 KiB"],
    ),
    "a stray quote does not swallow a long file": (
        'image,caption\na.jpg,"a dog\n' + "".join(f"b.jpg,{text}\n" for text in 2 * MANY) + 'c.jpg,a board of 6"\n',
        {"b.jpg": MANY, "c.jpg": ('a board of 6"',)},
        ["2: has an unclosed or misplaced quote, or a field larger than 128 KiB"]
        + [f"{63 + number}: a caption of b.jpg is a duplicate: {text}" for number, text in enumerate(MANY)],
    ),
    "a TSV without quoting may have captions that begin with a quote": (
        'image\tcaption\na.jpg\t" is on the sign\nb.jpg\t"Stop" says a sign\nc.jpg\ta cow\n',
        {"a.jpg": ('" is on the sign',), "b.jpg": ('"Stop" says a sign',), "c.jpg": ("a cow",)},
        [],
    ),
    "a byte order mark and Windows line ends are not part of the text": (
        "\ufeffimage;caption\r\na.jpg;ein Hund, groß\r\n",
        {"a.jpg": ("ein Hund, groß",)},
        [],
    ),
    "a problem names the line where its row begins": (
        b'image,caption\na.jpg,"a dog\nthat sits"\n\nmissing.jpg,a cat\nmissing.jpg,a cow\na.jpg,  \n'
        b'a.jpg,"a dog\nthat sits"\na.jpg,a dog, sitting\nb.jpg,caf\xe9\nb.jpg,caf\xc3\xa9\n',
        {"a.jpg": ("a dog\nthat sits",), "b.jpg": ("café",)},
        [
            "5: missing.jpg does not exist",
            "7: a caption of a.jpg is empty",
            "8: a caption of a.jpg is a duplicate: a dog that sits",
            "10: has 3 columns, expected 2",
            "11: a caption of b.jpg is not UTF-8",
        ],
    ),
    "JSONL, with bad lines": (
        b'{"image": "a.jpg", "caption": \n{"image": "a.jpg", "caption": "a dog"}\n7\n\n{"caption": "a cat"}\n'
        b'{"image": "b.jpg"}\n{"image": 5, "caption": "a cat"}\n{"image": "b.jpg", "caption": [null, "a cat"]}\n'
        b'{"image": "b.jpg", "caption": "caf\xe9"}\n{"image": "b.jpg", "caption": "half an emoji \\ud83d"}\n'
        b'{"image": "caf\xe9.jpg", "caption": "a cat"}\n' + b"[" * 100_000 + b"\n",
        {"a.jpg": ("a dog",), "b.jpg": ("a cat",)},
        [
            *("1: is not valid JSON", "3: is not a JSON object", "5: has no picture field", "6: has no caption field"),
            *("7: has no picture field", "8: a caption of b.jpg is not text", "9: a caption of b.jpg is not UTF-8"),
            *("10: a caption of b.jpg is not UTF-8", "11: refers to caf\\udce9.jpg, which is not UTF-8"),
            "12: is not valid JSON",
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_follows_the_format_is_read_and_what_does_not_is_a_problem(photos: Path, case: str) -> None:
    content, captions, problems = CASES[case]
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    (photos / "data").write_bytes(text if isinstance(text, bytes) else text.encode())

    reading = read_captioned(photos / "data")

    assert [p.captions for p in reading.pictures] == [*captions.values()]
    assert [p.file for p in reading.pictures] == [photos / name for name in captions]
    reported = [f"{problem.line}: {problem.what}".removeprefix("None: ") for problem in reading.problems]
    assert [re.split(r" \(expected |: Expecting|: maximum", text)[0] for text in reported] == problems


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize(
    "names", ["image caption", "file_name text", "filepath title", "IMG Sentence", "Image-Path text"]
)
def test_columns_are_found_by_their_names(photos: Path, delimiter: str, names: str) -> None:
    table = [("", *reversed(names.split())), ("1", "a dog", " a.jpg")]
    (photos / "data").write_text("\n".join(delimiter.join(row) for row in table))

    assert [(p.file.name, p.captions) for p in read_captioned(photos / "data").pictures] == [("a.jpg", ("a dog",))]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("train", "train"), ("", "train"), ("restval", "train"), ("VAL", "val"), ("validation", "val"), ("test", "test")],
)
def test_a_split_may_have_any_of_its_usual_names(photos: Path, written: str, meant: str) -> None:
    (photos / "a").write_text(f"image,split,caption\na.jpg,{written},a dog\n")
    (photos / "b").write_text(json.dumps(karpathy(("a.jpg", written, ["a dog"]))))
    (photos / "c").write_text(json.dumps({"image": "a.jpg", "split": written or None, "caption": "a dog"}))

    for name in "abc":
        assert [picture.split for picture in read_captioned(photos / name).pictures] == [meant]


@pytest.mark.parametrize(
    ("file", "folder", "picture", "split"),
    [
        ("captions_val2017.json", "pictures", "000000000042.jpg", "val"),
        ("captions_train2014.json", "pictures", "COCO_val2014_000000000042.jpg", "val"),
        ("captions.json", "val2017", "000000000042.jpg", "val"),
        ("my-val.json", "pictures", "42.jpg", "val"),
        ("test.json", "pictures", "42.jpg", "test"),
        ("interval.json", "trainees", "42.jpg", "train"),
        ("captions.json", "pictures", "val d'Aosta.jpg", "train"),
        ("captions.json", "test of mine", "42.jpg", "train"),
    ],
)
def test_the_split_of_coco_comes_from_names(tmp_path: Path, file: str, folder: str, picture: str, split: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / picture).touch()
    (tmp_path / file).write_text(json.dumps(coco({1: picture}, (1, "a dog"))))

    assert [read.split for read in read_captioned(tmp_path / file, tmp_path / folder).pictures] == [split]


def test_a_list_that_is_cut_is_refused(photos: Path) -> None:
    whole = json.dumps([regions(1, "a man"), regions(1, "a hat")])
    for length in range(1, len(whole)):
        (photos / "data").write_text(whole[:length])
        with pytest.raises(DatasetError, match="is not valid JSON"):
            read_captioned(photos / "data")


@given(rows=ROWS, written_as=st.sampled_from(["JSON", "ASCII", *",\t;|"]), ending=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=250, deadline=None)
def test_what_json_and_csv_write_is_read_back(rows: list[tuple[str, str]], written_as: str, ending: str) -> None:
    expected: dict[str, dict[str, None]] = {}
    for name, caption in rows:
        expected.setdefault(name, {})[caption.strip()] = None
    with tempfile.TemporaryDirectory() as folder:
        for name in expected:
            (Path(folder) / name).touch()
        with (Path(folder) / "data").open("w", encoding="utf-8", newline="") as file:
            if written_as in ("JSON", "ASCII"):
                records = [{"image": name, "caption": caption} for name, caption in rows]
                file.writelines(json.dumps(each, ensure_ascii=written_as == "ASCII") + ending for each in records)
            else:
                writer = csv.writer(file, delimiter=written_as, lineterminator=ending)
                writer.writerows([("image", "caption"), *rows])
        reading = read_captioned(Path(folder) / "data")

    assert {p.file.name: p.captions for p in reading.pictures} == {name: (*texts,) for name, texts in expected.items()}
    assert len(reading.problems) == len(rows) - sum(map(len, expected.values()))
