"""Captioned pictures read from any of the formats in which people have them; the content tells which it is."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pixsearch.errors import DatasetError
from pixsearch.storage import FilePath, is_folder, open_file, path_bytes
from pixsearch_trainer.data.coco import gather_coco
from pixsearch_trainer.data.folder import read_folder
from pixsearch_trainer.data.gathering import Gathering, unknown_format
from pixsearch_trainer.data.karpathy import gather_karpathy
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.data.records import gather_lines, gather_record
from pixsearch_trainer.data.table import find_layout, gather_table
from pixsearch_trainer.data.visual_genome import gather_regions

__all__ = ["Problem", "Reading", "read_captioned"]

_HEAD_CHARACTERS = 1 << 16
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Reading:
    """The pictures of a data set, and what in it could not be used."""

    pictures: list[CaptionedPicture]
    problems: list[Problem]


def read_captioned(data: FilePath, images: FilePath | None = None) -> Reading:
    """Read Karpathy's JSON, COCO's captions, Visual Genome's regions, CSV, TSV, JSONL, or a folder with name.txt files.

    Entries of the same picture are one picture, in the order in which the pictures are first named. Problems are
    recorded and passed over: a picture that is not there (once, where it is first named), an empty caption, the same
    caption of the same picture again, a line or entry that is not as the format has it. Whether a picture can be
    decoded is not looked at (see `checking.check_pictures`). Only from a folder do pictures without captions come.

    Args:
        data: a file, UTF-8 with or without a byte order mark, or a folder.
        images: where relative paths of pictures start; None for the file's own folder. Not used where data is a folder.

    Raises:
        DatasetError: the file cannot be read or is in none of the formats, or not one of its pictures is there.
    """
    try:
        if is_folder(path_bytes(data)):
            pictures, problems = read_folder(data)
            if not pictures:
                raise unknown_format(data, "no picture lies in the folder")
            return Reading(pictures, problems)
        folder = data.parent if images is None else images
        gathering = Gathering(data, folder)
        _gather(data, folder, gathering)
    except OSError as error:
        raise DatasetError(
            f"{data} cannot be read ({error.strerror})", "Name a file or a folder with --data"
        ) from error
    return Reading(gathering.pictures(), gathering.problems)


def _gather(data: FilePath, folder: FilePath, into: Gathering) -> None:
    with _open(data) as file:
        head = file.read(_HEAD_CHARACTERS)
    if layout := find_layout(head):
        with _open(data) as file:
            gather_table(file, layout, into)
    elif head.lstrip().startswith("["):
        for number, entry in enumerate(_list_entries(data), 1):
            if isinstance(entry, dict) and "regions" in entry:
                gather_regions(f"entry {number}", entry, into)
            else:
                gather_record(f"entry {number}", entry, into)
    elif head.lstrip().startswith("{"):
        _gather_object_or_lines(data, folder, into)
    else:
        raise unknown_format(data, _what_it_is_not(head))


def _gather_object_or_lines(data: FilePath, folder: FilePath, into: Gathering) -> None:
    """One JSON object, Karpathy's or COCO's, or else JSONL: its first line, or its second, is an object by itself."""
    with _open(data) as file:
        first, second = _parse(file.readline())[0], _parse(file.readline())[0]
    document, error = (first, "") if first is not None else _parse_whole(data)
    images = document.get("images") if isinstance(document, dict) else None
    if isinstance(document, dict) and isinstance(images, list):
        annotations = document.get("annotations")
        if isinstance(annotations, list):
            gather_coco(images, annotations, data, folder, into)
        else:
            gather_karpathy(images, into)
    elif isinstance(first, dict) or isinstance(second, dict):
        with _open(data) as file:
            gather_lines(file, into)
    else:
        raise unknown_format(data, error or 'it has no list of "images"')


def _what_it_is_not(head: str) -> str:
    if not head.strip():
        return "it is empty"
    if head.encode(errors="surrogateescape").startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16, not UTF-8"
    return "its first line does not name a column for the picture and one for the caption"


def _parse(text: str) -> tuple[object, str]:
    """What is in a JSON text; None, and why, where it is damaged."""
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:
        return None, f"as JSON it is cut or damaged: {error}"


def _parse_whole(data: FilePath) -> tuple[object, str]:
    with _open(data) as file:
        return _parse(file.read())


def _list_entries(data: FilePath) -> Iterator[object]:
    """The entries of a JSON list one by one: Visual Genome's, all at once, would take 5 GB."""
    with _open(data) as file:
        text = file.read()
    decode = json.JSONDecoder().raw_decode
    place = _after_space(text, text.index("[") + 1)
    try:
        while text[place] != "]":
            entry, place = decode(text, place)
            yield entry
            place = _after_space(text, place)
            if text[place] == ",":
                place = _after_space(text, place + 1)
            elif text[place] != "]":
                raise ValueError(f"no comma at character {place}")
    except (ValueError, IndexError, RecursionError) as error:
        raise unknown_format(data, f"as JSON it is cut or damaged: {error}") from error


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _open(data: FilePath) -> io.TextIOWrapper:
    """Lines with their own ends; a byte that is no UTF-8 becomes a lone surrogate, which `Gathering` reports."""
    return io.TextIOWrapper(open_file(data), encoding="utf-8-sig", errors="surrogateescape", newline="")
