"""Query filters: conditions that photos must meet to be found."""

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
    """A circle on the map: the centre in degrees (north and east are positive) and the radius in kilometres."""

    latitude: float
    longitude: float
    radius_km: float
    centre: str | None = None
    """The description of a centre specified by name, such as "Kyoto, Japan (35.021, 135.754)"."""


@dataclass(frozen=True, slots=True)
class Filters:
    """The conditions that a photo must meet. Matching ignores case, accents and character width.

    Raises UsageError for conditions that no photo can meet.
    """

    folders: tuple[FilePath, ...] = ()
    """The folders to search, including subfolders. U+FFFD in a name matches invalid bytes."""
    name: str | None = None
    """The text that the file name must contain, or a glob for the whole name if it contains `*`, `?` or `[`."""
    after: datetime | None = None
    """The start of the time range (inclusive), in local time where the photo was taken."""
    before: datetime | None = None
    """The end of the time range (exclusive), in local time where the photo was taken."""
    camera: str | None = None
    """The words that the camera make and model must contain."""
    keywords: tuple[str, ...] = ()
    """The words that must appear in the photo's keywords, each in at least one of them."""
    people: tuple[str, ...] = ()
    """The words that must appear in the names of people in the photo, each in at least one of them."""
    places: tuple[str, ...] = ()
    """The words that must appear in the photo's location, or in the nearest town, its region or its country."""
    rating: int | None = None
    """The minimum number of stars."""
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
                    "Use NAME,KM or LAT,LON,KM, e.g. Kyoto,20 or 48.86,2.35,10",
                )
        for bound in (self.after, self.before):
            if bound is not None and bound.tzinfo is not None:
                raise UsageError(
                    "a date in a query cannot have a time zone",
                    "Omit the time zone: dates are compared with the camera's clock",
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
            raise UsageError("a filter is empty", "Give the filter a value, or omit it")
        if self.rating is not None and not 1 <= self.rating <= 5:
            raise UsageError(f"a rating must be from 1 to 5, not {self.rating}", "Use 1 to 5 stars")

    def folder_paths(self) -> list[bytes]:
        """Return the folders as paths in the form stored in the library. Raises UsageError if a path is invalid."""
        try:
            return [resolved_bytes(folder) for folder in self.folders]
        except ValueError as error:  # the path contains a NUL character
            raise UsageError(f"not a valid folder name: {error}", "Use the path of a folder") from error

    def path_test(self) -> Callable[[bytes], bool]:
        """Return a function that tests a photo's path against the folder and name filters. Raises UsageError."""
        folders, name_passes = [_composed(folder) for folder in self.folder_paths()], self._name_test()

        def test(path: bytes) -> bool:
            path = _composed(path)
            if folders and not any(is_at_or_below(form, folder) for form in {path, _shown(path)} for folder in folders):
                return False
            return name_passes(os.fsdecode(path.rpartition(b"/")[2]))

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
    """Return a path normalised to NFC for comparisons."""
    return path if path.isascii() else os.fsencode(composed(os.fsdecode(path)))


def _shown(path: bytes) -> bytes:
    """Return a path as it appears on web pages and in URLs, with U+FFFD in place of invalid bytes."""
    return path.decode(errors="replace").encode()


NO_FILTERS = Filters()
