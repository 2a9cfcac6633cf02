"""The options that say which photos a query may find at all."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from pixsearch.errors import UsageError
from pixsearch.library.filters import Circle

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?)?")


class Orientation(StrEnum):
    landscape = "landscape"
    portrait = "portrait"
    square = "square"


FolderOption = Annotated[
    list[str] | None, typer.Option("--folder", metavar="DIR", help="Only in this folder; may be given again.")
]
NameOption = Annotated[str | None, typer.Option("--name", metavar="GLOB", help='Only files so called, as in "IMG_*".')]
AfterOption = Annotated[
    str | None,
    typer.Option("--after", metavar="DATE", help="Only taken then or later: 2021, 2021-03 or 2021-03-15T18:30."),
]
BeforeOption = Annotated[str | None, typer.Option("--before", metavar="DATE", help="Only taken before that began.")]
CameraOption = Annotated[
    str | None, typer.Option("--camera", metavar="TEXT", help="Only by a camera with this in its name.")
]
KeywordOption = Annotated[
    list[str] | None, typer.Option("--keyword", metavar="WORD", help="Only with this keyword; may be given again.")
]
OrientationOption = Annotated[Orientation | None, typer.Option("--orientation", help="Only of this shape.")]
MinMegapixelsOption = Annotated[float | None, typer.Option("--min-megapixels", metavar="N", help="Only so large.")]
MaxMegapixelsOption = Annotated[float | None, typer.Option("--max-megapixels", metavar="N", help="Only so small.")]
HasPlaceOption = Annotated[bool, typer.Option("--has-place", help="Only those that say where they were taken.")]
NearOption = Annotated[
    str | None,
    typer.Option("--near", metavar="LAT,LON,KM", help="Only so near to a place, in degrees north and east, and km."),
]


def date(text: str | None) -> datetime | None:
    """When a year, a month, a day or a minute begins. Raises UsageError."""
    if text is None:
        return None
    if parts := _DATE.fullmatch(text.strip()):
        year, month, day, hour, minute, second = (None if part is None else int(part) for part in parts.groups())
        try:
            return datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        except ValueError:  # there is no such day
            pass
    raise UsageError(f"{text!r} is no date", "Write 2021, 2021-03, 2021-03-15 or 2021-03-15T18:30")


def circle(text: str | None) -> Circle | None:
    """Raises UsageError."""
    if text is None:
        return None
    try:
        latitude, longitude, radius_km = (float(part) for part in text.removesuffix("km").split(","))
    except ValueError:
        raise UsageError(f"{text!r} is no place with a radius", "Write LAT,LON,KM, as in 48.86,2.35,10") from None
    return Circle(latitude, longitude, radius_km)
