"""Captions gathered into pictures while a data set is read, each one looked at before it is taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pixsearch.errors import DatasetError, UsageError
from pixsearch.storage import FilePath, Listings, is_remote, to_path
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem, printable, shown

SPLIT_NAMES = {"": "train", "training": "train", "restval": "train", "validation": "val", "valid": "val", "dev": "val"}
"""How else people call the splits train and val. restval is what COCO's val has beyond Karpathy's val and test."""


class Malformed(Exception):
    """An entry is not what its format says; the message says what it lacks."""


def field_of(entry: object, name: str) -> object:
    """A field of a JSON object. Raises Malformed where it has none, or is no object."""
    if not isinstance(entry, dict):
        raise Malformed("is no JSON object")
    if name not in entry:
        raise Malformed(f'has no "{name}"')
    return entry[name]


def list_of(entry: object, name: str) -> list[object]:
    """A field that is a list. Raises Malformed."""
    found = field_of(entry, name)
    if not isinstance(found, list):
        raise Malformed(f'has a "{name}" that is no list')
    return found


class Gathering:
    """What is found in one data set: its pictures, in the order in which they are first named, and its problems.

    A picture is looked for once, however many captions it has, and one that is not there is one problem.
    """

    def __init__(self, data: FilePath, folder: FilePath) -> None:
        """
        Args:
            data: the file that is read; problems are reported as its own.
            folder: where the pictures' names start.
        """
        self.problems: list[Problem] = []
        self._data = data
        self._folder = folder
        self._named: dict[str, _Gathered | None] = {}
        self._files: dict[FilePath, _Gathered] = {}
        self._missing: list[FilePath] = []
        self._there = Listings()

    def report(self, where: int | str, what: str) -> None:
        """Record a problem at a line (a number) or in an entry (its name)."""
        line, what = (where, what) if isinstance(where, int) else (None, f"{where}: {what}")
        self.problems.append(Problem(self._data, line, what))

    def add(
        self,
        where: int | str,
        name: object,
        captions: Iterable[object],
        split: object = "train",
        from_label: bool = False,
        folders: Sequence[str] = ("",),
    ) -> None:
        """Take the captions of a picture, or record why not.

        Args:
            where: the line or the entry that says so.
            name: the picture's path, absolute or below the folder, or its URL.
            split: see `SPLIT_NAMES`; None is train.
            folders: sub-folders that the picture may lie in, looked into in this order.
        """
        try:
            picture = self._picture(where, name, split, from_label, folders)
        except Malformed as error:
            self.report(where, str(error))
            return
        if picture is None:
            return
        for caption in captions:
            try:
                picture.take(caption)
            except Malformed as error:
                self.report(where, str(error))

    def pictures(self) -> list[CaptionedPicture]:
        """The pictures that have a caption.

        Raises:
            DatasetError: pictures were named and not one is there, or nothing was understood.
        """
        if not self._files and self._missing:
            raise DatasetError(
                f"not one of the {len(self._missing):,} pictures that {printable(str(self._data))} names is there; "
                f"{printable(str(self._missing[0]))} would be the first",
                "Check --images",
            )
        if not self._files and self.problems:
            first = self.problems[0]
            raise unknown_format(self._data, first.what if first.line is None else f"line {first.line} {first.what}")
        return [
            CaptionedPicture(picture.file, tuple(picture.captions), picture.split, picture.from_label)
            for picture in self._files.values()
            if picture.captions
        ]

    def _picture(
        self, where: int | str, name: object, split: object, from_label: bool, folders: Sequence[str]
    ) -> _Gathered | None:
        """None for a picture that is known not to be there."""
        if not isinstance(name, str) or not name:
            raise Malformed("names no picture")
        if not isinstance(split, str | None):
            raise Malformed("has a split that is no text")
        in_split = SPLIT_NAMES.get(low := (split or "").strip().lower(), low)
        if name not in self._named:
            self._named[name] = self._look_for(where, name, in_split, from_label, folders)
        picture = self._named[name]
        if picture is not None and picture.split != in_split:
            raise Malformed(f"{shown(name)} is in the split {shown(in_split)} here, in {shown(picture.split)} above")
        return picture

    def _look_for(
        self, where: int | str, name: str, split: str, from_label: bool, folders: Sequence[str]
    ) -> _Gathered | None:
        if not _is_text(name):
            raise Malformed(f"names {shown(name)}, which is not UTF-8")
        places = self._places(name, folders)
        for file in places:
            if file in self._files:  # named in another way before, as a.jpg and ./a.jpg are
                return self._files[file]
            if self._there.stamp(file) is not None:
                return self._files.setdefault(file, _Gathered(file, name, split, from_label))
        self._missing.append(places[0])
        self.report(where, f"{shown(name)} is not there")
        return None

    def _places(self, name: str, folders: Sequence[str]) -> list[FilePath]:
        if not is_remote(name.encode()):
            return [self._folder.joinpath(*filter(None, (folder, name))) for folder in folders]
        try:
            return [to_path(name)]
        except UsageError as error:
            raise Malformed(f"names {shown(name)}, which is in no storage that can be read") from error


@dataclass(slots=True)
class _Gathered:
    file: FilePath
    name: str
    split: str
    from_label: bool
    captions: dict[str, None] = field(default_factory=dict)
    """An ordered set: a picture of Visual Genome has dozens."""

    def take(self, caption: object) -> None:
        """Add a caption. Raises Malformed where it is none, or there already."""
        if not isinstance(caption, str):
            raise Malformed(f"a caption of {shown(self.name)} is no text")
        if not (text := caption.strip()):
            raise Malformed(f"an empty caption of {shown(self.name)}")
        if not _is_text(text):
            raise Malformed(f"a caption of {shown(self.name)} is not UTF-8")
        if text in self.captions:
            raise Malformed(f"a caption of {shown(self.name)} is there twice: {shown(text)}")
        self.captions[text] = None


def unknown_format(data: FilePath, why: str) -> DatasetError:
    """The error for what is none of the formats; it names them all."""
    return DatasetError(
        f"{printable(str(data))} is in none of the formats that pixsearch reads ({shown(why)})",
        "They are: Karpathy's JSON, COCO's captions JSON, Visual Genome's region_descriptions.json, CSV, TSV or JSONL "
        "with a column for the picture (image, file_name, ..) and one for the caption (caption, text, ..), "
        "and a folder with name.txt beside name.jpg",
    )


def _is_text(text: str) -> bool:
    """Whether it is whole Unicode: bytes that are no UTF-8 come as lone surrogates, and JSON may spell such out."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
