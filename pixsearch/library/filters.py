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
from pixsearch.library.paths import is_at_or_below
from pixsearch.storage import FilePath, resolved_bytes
from pixsearch.unicode_forms import composed


class Circle(NamedTuple):
    """A place and what lies around it: degrees, north and east positive, and kilometres."""

    latitude: float
    longitude: float
    radius_km: float


@dataclass(frozen=True, slots=True)
class Filters:
    """What must be true of a photo; what is not given does not matter. Raises UsageError for what cannot be asked."""

    folders: tuple[FilePath, ...] = ()
    """It lies in one of these, at any depth."""
    name: str | None = None
    """Its file's name is this glob, in upper or lower case."""
    after: datetime | None = None
    """It was taken at this time or later, by the clock of where it was taken."""
    before: datetime | None = None
    """It was taken earlier than this."""
    camera: str | None = None
    """Maker and model of the camera contain this, in upper or lower case."""
    keywords: tuple[str, ...] = ()
    """It has all of these, in upper or lower case."""
    orientation: Literal["landscape", "portrait", "square"] | None = None
    min_megapixels: float | None = None
    max_megapixels: float | None = None
    has_place: bool = False
    near: Circle | None = None

    def __post_init__(self) -> None:
        if self.near is not None:
            latitude, longitude, radius_km = self.near
            if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 < radius_km < math.inf):
                raise UsageError(
                    f"{latitude},{longitude},{radius_km} is no place with a radius", "As in: 48.86,2.35,10"
                )
        for bound in (self.after, self.before):
            if bound is not None and bound.tzinfo is not None:
                raise UsageError("a date of a query has no time zone", "It is compared with the camera's own clock")

    def folder_paths(self) -> list[bytes]:
        """The folders, as the library has the paths of photos. Raises UsageError for what no folder is called."""
        try:
            return [resolved_bytes(folder) for folder in self.folders]
        except ValueError as error:  # a NUL
            raise UsageError(f"no folder can be called so: {error}", "Give the path of one") from error

    def path_test(self) -> Callable[[bytes], bool]:
        """What says of a photo's path whether folder and name are as asked. Raises UsageError, as above."""
        folders = [_composed(folder) for folder in self.folder_paths()]
        name = None if self.name is None else re.compile(fnmatch.translate(composed(self.name)), re.IGNORECASE)

        def test(path: bytes) -> bool:
            path = _composed(path)
            if folders and not any(is_at_or_below(path, folder) for folder in folders):
                return False
            return name is None or bool(name.match(os.fsdecode(path.rpartition(b"/")[2])))

        return test


def _composed(path: bytes) -> bytes:
    """A path for comparisons: one name, however its accents are stored."""
    return path if path.isascii() else os.fsencode(composed(os.fsdecode(path)))


NO_FILTERS = Filters()
