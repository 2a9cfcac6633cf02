"""Parse the formats of data files into records for `Gathering`: published JSON, JSON records, and tables."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pixsearch.printable import plural
from pixsearch.regular_files import DATA_LIMIT_BYTES
from pixsearch.storage import read_file
from pixsearch_trainer.data.gathering import CAPTION_FIELDS, FURTHER_TEXTS, PICTURE_FIELDS, Gathering
from pixsearch_trainer.data.problems import Malformed

Value = TypeVar("Value")

_BEFORE_ENTRY = re.compile(r"\s*[\[,]\s*")
_NEXT_LINE = re.compile(r"\}\s*\n\s*\{")  # in JSONL only: in other JSON a comma separates two objects
_SPLIT_FOLDER = re.compile(r"(train|val|test)\d{4}")
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:\d{4})?(?![a-z0-9])")
_TOKEN_LINE = re.compile(r"[^\t]+\.\w{2,5}(#\d+)?\t[^\t]*")  # Flickr8k's token file: name.jpg#0<TAB>caption
_QUOTED_LINES = 64  # the most lines of a quoted field: a single unclosed quote must not swallow the rest of a file


def field(entry: object, name: str, kind: type[Value]) -> Value:
    """Return a field of a JSON object. Raises Malformed if it is missing or not of that type."""
    if not isinstance(entry, dict):
        raise Malformed("is not a JSON object")
    if not isinstance(value := entry.get(name), kind):
        raise Malformed(f'has no valid "{name}"')
    return value


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text. Raises Malformed."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"is not valid JSON: {error}") from error


def gather(into: Gathering) -> None:
    """Take the records of a data file, whose format is recognised by its beginning. Raises OSError, Malformed."""
    text = read_file(into.data, DATA_LIMIT_BYTES).decode("utf-8-sig", errors="surrogateescape")
    if text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise Malformed("it is UTF-16, not UTF-8")
    head = text[: 1 << 16].strip("\r\n")
    if head.lstrip().startswith("["):
        into.take(_list_entries(text), _list_record, "entry")
    elif head.lstrip().startswith("{"):
        _gather_objects(text, into)
    else:
        _gather_table(text, re.split(r"[\r\n]", head)[0], into)


def _list_entries(text: str) -> Iterator[object]:
    """Yield the entries of a JSON list one by one: decoded at once, Visual Genome's would take 5 GB."""
    decode, end = json.JSONDecoder().raw_decode, 0
    while found := _BEFORE_ENTRY.match(text, end):
        try:
            entry, end = decode(text, found.end())
        except (ValueError, RecursionError) as error:
            raise Malformed(f"is not valid JSON: {error}") from error
        yield entry
    if text[end:].strip() != "]":
        raise Malformed("is not valid JSON: a list is not closed, or lacks a comma")


def _list_record(entry: object) -> object:
    """Return a record as it is, or convert one of Visual Genome's {"id", "regions": [{"phrase"}]}.

    Each phrase is a caption of the picture <id>.jpg. Two regions may have the same phrase ("a hat").
    """
    if not isinstance(entry, dict) or "regions" not in entry:
        return entry
    phrases = dict.fromkeys(field(region, "phrase", str).strip() for region in field(entry, "regions", list))
    return {"image": f"{field(entry, 'id', int)}.jpg", "captions": list(phrases)}


def _gather_objects(text: str, into: Gathering) -> None:
    """Take the records of a JSON object in Karpathy's or COCO's format, or of JSONL."""
    is_lines = _NEXT_LINE.search(text) is not None
    document = {} if is_lines else parse_json(text)
    images, annotations = document.get("images"), document.get("annotations")
    if not isinstance(images, list):
        lines = text.split("\n") if is_lines else [text]
        into.take(lines, lambda line: parse_json(line) if line.strip() else {})
    elif isinstance(annotations, list):
        _gather_coco(images, annotations, into)
    else:
        into.take(images, _karpathy_record, "entry")


def _karpathy_record(image: Any) -> object:
    """Parse {"filename", "split", "sentences": [{"raw"}]}, for COCO also with the picture's folder as "filepath".

    There may be further texts: the lists of strings "queries" and "false" (near misses), and "labels", which have the
    form of sentences.
    """
    captions = [field(sentence, "raw", object) for sentence in field(image, "sentences", list)]
    name, folder = field(image, "filename", str), image.get("filepath")
    queries, labels, near_misses = (_listed(image.get(key)) for key in ("queries", "labels", "false"))
    labels = [label.get("raw") if isinstance(label, dict) else label for label in labels]
    further = {"queries": queries, "labels": labels, "near_misses": near_misses}
    name = f"{folder}/{name}" if folder else name
    return {"image": name, "captions": captions, "split": image.get("split"), FURTHER_TEXTS: further}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _gather_coco(images: list[Any], annotations: list[object], into: Gathering) -> None:
    """Take {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}.

    The format has no splits. The split of a picture comes from, in this order, its own name
    (COCO_val2014_000000000042.jpg), the file's name (captions_val2017.json) or the name of the pictures' folder
    (val2017); otherwise it is train.
    """
    of_file = _SPLIT_WORD.search(into.data.name) or _SPLIT_WORD.fullmatch(into.folder.name)
    names = {str(image.get("id")): image.get("file_name") for image in images if isinstance(image, dict)}

    def annotation_record(annotation: object) -> object:
        caption, key = field(annotation, "caption", object), str(field(annotation, "image_id", object))
        if not isinstance(name := names.get(key), str):
            raise Malformed(f'describes the image {key}, which is not in "images"')
        split = _SPLIT_FOLDER.search(name) or of_file
        return {"image": name, "caption": caption, "split": split and split[1]}

    into.take(annotations, annotation_record, "annotation")


def _gather_table(text: str, first: str, into: Gathering) -> None:
    """Take the records of a table whose first line names the columns, or of Flickr8k's token file."""
    for delimiter in "\t,;|":
        header = next(csv.reader([first], delimiter=delimiter))
        names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
        if not set(names).isdisjoint(PICTURE_FIELDS) and not set(names).isdisjoint(CAPTION_FIELDS):
            break
    else:
        if not _TOKEN_LINE.fullmatch(first):
            raise Malformed("its first line does not name a column for the picture and one for the caption")
        delimiter, header, names = "\t", [], ["image", "caption"]

    def row_record(row: list[str] | None) -> object:
        if row is None:
            raise Malformed("has an unclosed or misplaced quote, or a field of more than 128 KiB")
        if row in ([], header):
            return {}
        if len(row) != len(names):
            raise Malformed(f"has {plural(len(row), 'column')}, not {len(names)}")
        cells = [cell.strip() for cell in row] if header else [re.sub(r"(?<=\w)#\d+$", "", row[0]), row[1]]
        return dict(zip(names, cells, strict=True))

    into.take(_rows(io.StringIO(text, newline="").readlines(), delimiter), row_record)


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[list[str] | None]:
    """Yield the row that begins on each line; [] if none does, as on a blank line.

    None stands for a line whose quotes do not follow CSV.
    """
    start = 0
    while start < len(lines):
        row: list[str] | None
        reader = csv.reader(lines[start : start + _QUOTED_LINES], delimiter=delimiter, strict=True)
        try:
            row, taken = next(reader), reader.line_num
        except csv.Error:  # many tables with tabs or bars do not use quoting at all
            row, taken = lines[start].rstrip("\r\n").split(delimiter) if delimiter in "\t|" else None, 1
        yield row if lines[start].strip() else []
        yield from [[]] * (taken - 1)
        start += taken
