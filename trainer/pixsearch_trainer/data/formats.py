"""Parse data files into records for `Gathering`: published JSON formats, JSON records, and tables."""

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
_NEXT_LINE = re.compile(r"\}\s*\n\s*\{")  # only in JSONL: elsewhere, a comma separates two objects
_SPLIT_FOLDER = re.compile(r"(train|val|test)\d{4}")
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:\d{4})?(?![a-z0-9])")
_TOKEN_LINE = re.compile(r"[^\t]+\.\w{2,5}(#\d+)?\t[^\t]*")  # Flickr8k's token file: name.jpg#0<TAB>caption
_QUOTED_LINES = 64  # limit per quoted field, so that an unclosed quote does not swallow the rest of the file


def field(entry: object, name: str, kind: type[Value]) -> Value:
    """Return a field of a JSON object. Raises Malformed if the field is missing or has a different type."""
    if not isinstance(entry, dict):
        raise Malformed("is not a JSON object")
    if not isinstance(value := entry.get(name), kind):
        raise Malformed(f'has no valid "{name}"')
    return value


def parse_json(text: str | bytes) -> Any:
    """Parse JSON. Raises Malformed if it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"is not valid JSON: {error}") from error


def gather(into: Gathering) -> None:
    """Read the records in a data file, whose format is detected from its beginning. Raises OSError, Malformed."""
    text = read_file(into.data, DATA_LIMIT_BYTES).decode("utf-8-sig", errors="surrogateescape")
    if text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        raise Malformed("the file is UTF-16, not UTF-8")
    head = text[: 1 << 16].strip("\r\n")
    if head.lstrip().startswith("["):
        into.take(_list_entries(text), _list_record, "entry")
    elif head.lstrip().startswith("{"):
        _gather_objects(text, into)
    else:
        _gather_table(text, re.split(r"[\r\n]", head)[0], into)


def _list_entries(text: str) -> Iterator[object]:
    """Yield the entries of a JSON list one at a time, because all of Visual Genome's would take 5 GB of memory."""
    decode, end = json.JSONDecoder().raw_decode, 0
    while found := _BEFORE_ENTRY.match(text, end):
        try:
            entry, end = decode(text, found.end())
        except (ValueError, RecursionError) as error:
            raise Malformed(f"is not valid JSON: {error}") from error
        yield entry
    if text[end:].strip() != "]":
        raise Malformed("is not valid JSON: unclosed list or missing comma")


def _list_record(entry: object) -> object:
    """Convert an entry in Visual Genome's format, {"id", "regions": [{"phrase"}]}; return any other entry unchanged.

    Each phrase becomes a caption of <id>.jpg, without duplicates: two regions may have the same phrase ("a hat").
    """
    if not isinstance(entry, dict) or "regions" not in entry:
        return entry
    phrases = dict.fromkeys(field(region, "phrase", str).strip() for region in field(entry, "regions", list))
    return {"image": f"{field(entry, 'id', int)}.jpg", "captions": list(phrases)}


def _gather_objects(text: str, into: Gathering) -> None:
    """Read the records in a JSON object in Karpathy's or COCO's format, or in JSONL."""
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
    """Convert {"filename", "split", "sentences": [{"raw"}]}. In COCO, "filepath" is the picture's folder.

    An image may have additional texts: the lists of strings "queries" and "false" (near misses), and the list "labels",
    which has the same form as "sentences".
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
    """Read {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}.

    The format has no splits. A picture's split is derived from its own name (COCO_val2014_000000000042.jpg), the name
    of the data file (captions_val2017.json) or the name of the picture folder (val2017), in that order. The default is
    train.
    """
    of_file = _SPLIT_WORD.search(into.data.name) or _SPLIT_WORD.fullmatch(into.folder.name)
    names = {str(image.get("id")): image.get("file_name") for image in images if isinstance(image, dict)}

    def annotation_record(annotation: object) -> object:
        caption, key = field(annotation, "caption", object), str(field(annotation, "image_id", object))
        if not isinstance(name := names.get(key), str):
            raise Malformed(f'refers to image {key}, which is not in "images"')
        split = _SPLIT_FOLDER.search(name) or of_file
        return {"image": name, "caption": caption, "split": split and split[1]}

    into.take(annotations, annotation_record, "annotation")


def _gather_table(text: str, first: str, into: Gathering) -> None:
    """Read the records in a table whose first line names the columns, or in Flickr8k's token file."""
    for delimiter in "\t,;|":
        header = next(csv.reader([first], delimiter=delimiter))
        names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
        if not set(names).isdisjoint(PICTURE_FIELDS) and not set(names).isdisjoint(CAPTION_FIELDS):
            break
    else:
        if not _TOKEN_LINE.fullmatch(first):
            raise Malformed("the first line does not name a picture column and a caption column")
        delimiter, header, names = "\t", [], ["image", "caption"]

    def row_record(row: list[str] | None) -> object:
        if row is None:
            raise Malformed("has an unclosed or misplaced quote, or a field larger than 128 KiB")
        if row in ([], header):
            return {}
        if len(row) != len(names):
            raise Malformed(f"has {plural(len(row), 'column')}, expected {len(names)}")
        cells = [cell.strip() for cell in row] if header else [re.sub(r"(?<=\w)#\d+$", "", row[0]), row[1]]
        return dict(zip(names, cells, strict=True))

    into.take(_rows(io.StringIO(text, newline="").readlines(), delimiter), row_record)


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[list[str] | None]:
    """Yield the row that begins on each line, or [] if no row does, as on a blank line.

    Yield None for a line with invalid CSV quoting.
    """
    start = 0
    while start < len(lines):
        row: list[str] | None
        reader = csv.reader(lines[start : start + _QUOTED_LINES], delimiter=delimiter, strict=True)
        try:
            row, taken = next(reader), reader.line_num
        except csv.Error:  # many tables with tabs or bars do not use quoting
            row, taken = lines[start].rstrip("\r\n").split(delimiter) if delimiter in "\t|" else None, 1
        yield row if lines[start].strip() else []
        yield from [[]] * (taken - 1)
        start += taken
