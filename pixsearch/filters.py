"""Which photos a query may find at all."""

from __future__ import annotations

import fnmatch
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from pixsearch.errors import UsageError
from pixsearch.paths import is_at_or_below
from pixsearch.storage import FilePath, resolved_bytes
from pixsearch.unicode_forms import composed, unaccented


class Circle(NamedTuple):
    """A place and what lies around it: degrees, north and east positive, and kilometres."""

    latitude: float
    longitude: float
    radius_km: float
    centre: str | None = None
    """What is there, where it was given by a name: "Kyoto, Japan (35.021, 135.754)"."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What must be true of a photo; what is not given does not matter. Case, accents and width make no difference in
    words. Raises UsageError for what no photo can be."""

    folders: tuple[FilePath, ...] = ()
    """It lies in one of these, at any depth. U+FFFD in a name stands for bytes that are no text."""
    name: str | None = None
    """Its file's name contains this; where this has a `*`, a `?` or a `[`, the whole name is this glob."""
    after: datetime | None = None
    """It was taken at this time or later, by the clock of where it was taken."""
    before: datetime | None = None
    """It was taken earlier than this."""
    camera: str | None = None
    """Maker and model of the camera contain each of these words."""
    keywords: tuple[str, ...] = ()
    """Each is in one of its keywords."""
    people: tuple[str, ...] = ()
    """Each is in the name of somebody who is in it."""
    places: tuple[str, ...] = ()
    """Each is in the words that say where it was taken, or in the name of the nearest town, its region and country."""
    rating: int | None = None
    """It has so many stars or more."""
    orientation: Literal["landscape", "portrait", "square"] | None = None
    min_megapixels: float | None = None
    max_megapixels: float | None = None
    has_place: bool = False
    near: Circle | None = None

    def __post_init__(self) -> None:
        if self.near is not None:
            latitude, longitude, radius_km, _ = self.near
            if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 < radius_km < math.inf):
                raise UsageError(
                    f"{latitude},{longitude},{radius_km} is not a location with a radius",
                    "Write NAME,KM or LAT,LON,KM, e.g. Kyoto,20 or 48.86,2.35,10",
                )
        for bound in (self.after, self.before):
            if bound is not None and bound.tzinfo is not None:
                raise UsageError(
                    "a date in a query may not have a time zone", "Omit it: dates are compared with the camera's clock"
                )
        if self.after is not None and self.before is not None and self.before <= self.after:
            raise UsageError(f"the range from {self.after} to {self.before} is empty", "Put the earlier date first")
        least, most = self.min_megapixels, self.max_megapixels
        if least is not None and most is not None and most < least:
            raise UsageError(
                f"the range from {least:g} to {most:g} megapixels is empty", "Put the smaller number first"
            )
        words = (*self.keywords, *self.people, *self.places, self.name, self.camera)
        if any(word is not None and not word.strip() for word in words):
            raise UsageError("a filter is empty", "Give it a value, or omit it")
        if self.rating is not None and not 1 <= self.rating <= 5:
            raise UsageError(f"a rating must be from 1 to 5, not {self.rating}", "Use 1 to 5 stars")

    def folder_paths(self) -> list[bytes]:
        """The folders, as the library has the paths of photos. Raises UsageError for what no folder is called."""
        try:
            return [resolved_bytes(folder) for folder in self.folders]
        except ValueError as error:  # a NUL
            raise UsageError(f"not a valid folder name: {error}", "Give the path of a folder") from error

    def path_test(self) -> Callable[[bytes], bool]:
        """What says of a photo's path whether folder and name are as asked. Raises UsageError, as above."""
        folders, lets_name_through = [_composed(folder) for folder in self.folder_paths()], self._name_test()

        def test(path: bytes) -> bool:
            path = _composed(path)
            if folders and not any(is_at_or_below(form, folder) for form in {path, _shown(path)} for folder in folders):
                return False
            return lets_name_through(os.fsdecode(path.rpartition(b"/")[2]))

        return test

    def _name_test(self) -> Callable[[str], bool]:
        if self.name is None:
            return lambda _: True
        if set(self.name) & set("*?["):
            glob = re.compile(fnmatch.translate(unaccented(self.name)))
            return lambda name: bool(glob.match(unaccented(name)))
        part = unaccented(self.name)
        return lambda name: part in unaccented(name)


def _composed(path: bytes) -> bytes:
    """A path for comparisons: one name, however its accents are stored."""
    return path if path.isascii() else os.fsencode(composed(os.fsdecode(path)))


def _shown(path: bytes) -> bytes:
    """A path as a page shows it and an address can have it: with a sign for each byte that is no text."""
    return path.decode(errors="replace").encode()


NO_FILTERS = Filters()
