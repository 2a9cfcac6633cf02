"""Collect pictures and captions from the records in a data file, checking each record first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from pixsearch.errors import DatasetError, UsageError
from pixsearch.storage import FilePath, Listings, is_remote, to_path
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Item, Malformed, Problem, parse_each, shown

PICTURE_FIELDS = (
    *("image_path", "filepath", "file_path", "file_name", "filename", "image_name"),
    *("path", "image", "img", "photo", "picture"),
)
"""The names of the picture field, in order of precedence. Paths come first because `image` may be a number."""

CAPTION_FIELDS = ("caption", "captions", "text", "sentence", "sentences", "description", "comment", "title")

FURTHER_TEXTS = ("further texts",)
"""The key for a record's dict of queries, labels and near misses. As a tuple, it cannot occur in a file."""

SPLIT_NAMES = {"": "train", "training": "train", "restval": "train", "validation": "val", "valid": "val", "dev": "val"}
"""The aliases of the train and val splits. Karpathy's restval is a part of COCO's val used for training."""

_NOUNS = {"captions": "a caption", "queries": "a query", "labels": "a label", "near_misses": "a near miss"}

_SUBFOLDERS = ("train2014", "val2014", "train2017", "val2017", "VG_100K", "VG_100K_2")
"""The subfolders that are also searched for pictures, as created by the archives of COCO and Visual Genome."""

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")  # represents invalid UTF-8, and can also be escaped in JSON


class Gathering:
    """The pictures listed in a data file, in order of first occurrence, and the problems found.

    Relative picture paths are resolved against `folder`. Each picture is looked up only once, even if it has several
    captions.
    """

    def __init__(self, data: FilePath, folder: FilePath) -> None:
        self.data = data
        self.folder = folder
        self.problems: list[Problem] = []
        self._folders = [folder, *(folder / name for name in _SUBFOLDERS)]
        self._files: dict[str, FilePath | None] = {}  # by name; None if the file does not exist
        self._pictures: dict[FilePath, tuple[str, dict[str, dict[str, None]]]] = {}  # the split, and texts by kind
        self._listings = Listings()

    def take(self, items: Iterable[Item], parse: Callable[[Item], object], noun: str = "") -> None:
        """Add the record that `parse` returns for each item (see `parse_each`).

        A record has a picture (a path or URL), a caption or list of captions, and optionally a split. {} is skipped.
        """
        parse_each(items, lambda item: self._add(parse(item)), self.data, self.problems, noun)

    def pictures(self) -> list[CaptionedPicture]:
        """Return the pictures that have captions.

        Raises DatasetError if none of the pictures exist, or Malformed if no record can be used.
        """
        if not self._pictures and self._files:
            first = shown(next(iter(self._files)))
            raise DatasetError(
                f"{self.folder} contains none of the pictures listed in {self.data}, such as {first}", "Check --images"
            )
        if not self._pictures:
            first = next((f"line {p.line} {p.what}" if p.line else p.what for p in self.problems), "it has no entries")
            raise Malformed(first)
        return [
            CaptionedPicture(file, split=split, **{kind: tuple(some) for kind, some in texts.items()})  # type: ignore[arg-type]
            for file, (split, texts) in self._pictures.items()
            if texts["captions"]
        ]

    def _add(self, record: object) -> None:
        if not isinstance(record, dict):
            raise Malformed("is not a JSON object")
        if not record:
            return
        name = next((record[field] for field in PICTURE_FIELDS if field in record), None)
        captions = next((record[field] for field in CAPTION_FIELDS if field in record), None)
        split = str(record.get("split") or "").strip().lower()
        split = SPLIT_NAMES.get(split, split)
        if not isinstance(name, str) or not name:
            raise Malformed(f"has no picture field (expected one of {', '.join(PICTURE_FIELDS)})")
        if captions is None:
            raise Malformed(f"has no caption field (expected one of {', '.join(CAPTION_FIELDS)})")
        if name not in self._files:
            self._files[name] = None
            self._files[name] = self._find(name)
        if (file := self._files[name]) is None:  # reported only at its first occurrence
            return
        first, known = self._pictures.setdefault(file, (split, {kind: {} for kind in _NOUNS}))
        if split != first:
            raise Malformed(f"{shown(name)} is in split {shown(split)} here, but in split {shown(first)} above")
        faults = []
        for kind, texts in {"captions": captions, **record.get(FURTHER_TEXTS, {})}.items():
            true = [text for other in _NOUNS if other != kind for text in known[other]] if kind == "near_misses" else []
            taken = [_take_text(one, known[kind], true) for one in (texts if isinstance(texts, list) else [texts])]
            if any(taken):
                faults.append(f"{_NOUNS[kind]} of {shown(name)} {', another '.join(filter(None, taken))}")
        if faults:
            raise Malformed("; ".join(faults))

    def _find(self, name: str) -> FilePath:
        if _LONE_SURROGATE.search(name):
            raise Malformed(f"refers to {shown(name)}, which is not UTF-8")
        try:
            files = [to_path(name)] if is_remote(name.encode()) else (folder / name for folder in self._folders)
        except UsageError as error:
            raise Malformed(f"refers to {shown(name)}, an unsupported kind of URL") from error
        return first_existing(files, name, self._listings)


def first_existing(files: Iterable[FilePath], name: str, listings: Listings) -> FilePath:
    """Return the first file that exists. Raises Malformed, with the name, if none exists."""
    for file in files:
        if listings.stamp(file) is not None:
            return file
    raise Malformed(f"{shown(name)} does not exist")


def _take_text(given: object, known: dict[str, None], true: Sequence[str]) -> str | None:
    """Add a text to the known texts, or return the reason why it cannot be used."""
    if not isinstance(given, str):
        return "is not text"
    if not (text := given.strip()):
        return "is empty"
    if _LONE_SURROGATE.search(text):
        return "is not UTF-8"
    if text in known:
        return f"is a duplicate: {shown(text)}"
    if text in true:
        return f"is also a true text of this picture: {shown(text)}"
    known[text] = None
    return None
