"""Readers that know the text in pictures, used in place of RapidOCR."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from pixsearch.library.records import StoredPhoto, StoredPicture
from pixsearch_indexer.ocr import Writing
from pixsearch_indexer.writing import ReadPictures, ReadSteps


class KnownWriting:
    """A reader that looks up the text in a photo by its file name, and records which photos it was asked to read."""

    def __init__(self, written: Mapping[str, Writing] | None = None) -> None:
        self.written = written or {}
        self.read: list[str] = []

    def __call__(self, pictures: Iterable[StoredPicture], megapixels: int) -> ReadSteps:
        for picture in pictures:
            name = picture.photos[0].path.name
            self.read.append(name)
            yield picture, self.written.get(name, ())


def then(reader: ReadPictures, after: int, act: Callable[[], object]) -> ReadPictures:
    """Wrap a reader so that it calls `act` after so many pictures, before it yields the last of them."""

    def read(pictures: Iterable[StoredPicture], megapixels: int) -> ReadSteps:
        for number, result in enumerate(reader(pictures, megapixels), start=1):
            if number == after:
                act()
            yield result

    return read


def crash_at_one_named_crash(photos: Sequence[StoredPhoto], digest: bytes, megapixels: int) -> Writing:
    """Replace `ocr.read_photo` in a worker process, and crash on crash.png."""
    if photos[0].path.name == "crash.png":
        os.abort()
    return ("read",)
