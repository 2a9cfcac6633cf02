"""The filters of a query, defined once for the command, the API and the page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import EnumType, StrEnum
from functools import wraps
from types import GenericAlias
from typing import Annotated, Any

import typer

from pixsearch.errors import UsageError
from pixsearch.filters import Circle, Filters
from pixsearch.storage import to_path

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?)?")


class Orientation(StrEnum):
    landscape = "landscape"
    portrait = "portrait"
    square = "square"


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as an option, an API field and a form field."""

    type: type | GenericAlias
    """The type of its value; None, or an empty list, means no filter."""
    help: str
    label: str
    """The label of its field on the page."""
    chip: str
    """The text of its chip on the page, with {} for the value."""
    metavar: str | None = None
    example: str | None = None

    @property
    def is_list(self) -> bool:
        """True if the filter is repeatable."""
        return isinstance(self.type, GenericAlias)

    @property
    def is_bool(self) -> bool:
        return self.type is bool

    @property
    def is_number(self) -> bool:
        return self.type is float

    @property
    def is_date(self) -> bool:
        return self.metavar == "DATE"

    @property
    def options(self) -> list[str]:
        """The values to choose from, if there are only a few."""
        if self.type is int:
            return [str(stars) for stars in range(1, 6)]
        return list(self.type) if isinstance(self.type, EnumType) else []


FILTERS: Mapping[str, Filter] = {
    "folder": Filter(list[str], "Only photos in this folder; repeatable.", "Folder", "in {}", "DIR"),
    "name": Filter(
        str,
        "Only files whose name contains TEXT, or matches it if it contains a *.",
        "File name",
        "name {}",
        "TEXT",
        "IMG_20*",
    ),
    "after": Filter(
        str,
        "Only photos taken on or after this date: 2021, 2021-03 or 2021-03-15T18:30.",
        "From",
        "from {}",
        "DATE",
        "2021-03",
    ),
    "before": Filter(str, "Only photos taken before this date.", "Before", "before {}", "DATE", "2021-06-15"),
    "camera": Filter(
        str, "Only photos from cameras with these words in their name.", "Camera", "camera {}", "WORDS", "canon 5d"
    ),
    "keyword": Filter(list[str], "Only photos with WORDS in a keyword; repeatable.", "Keyword", "keyword {}", "WORDS"),
    "person": Filter(list[str], "Only photos of this person; repeatable.", "Person", "with {}", "WORDS", "anna"),
    "place": Filter(list[str], "Only photos from this place; repeatable.", "Place", "in {}", "WORDS", "kyoto"),
    "rating": Filter(int, "Only photos with N stars or more.", "Rating", "{} stars or more", "N"),
    "orientation": Filter(Orientation, "Only photos of this orientation.", "Orientation", "{}"),
    "min_megapixels": Filter(
        float, "Only photos of at least N megapixels.", "Min. megapixels", "from {} megapixels", "N"
    ),
    "max_megapixels": Filter(
        float, "Only photos of at most N megapixels.", "Max. megapixels", "up to {} megapixels", "N"
    ),
    "has_place": Filter(bool, "Only photos with coordinates.", "Has location", "has location"),
    "near": Filter(
        str,
        "Only photos within KM of a town, or of LAT,LON.",
        "Near",
        "near {}",
        "NAME,KM|LAT,LON,KM",
        "Kyoto,20",
    ),
}


def filters_of(values: Mapping[str, Any]) -> Filters:
    """Return the filters for the given values, keyed by filter name. Raises UsageError."""
    return Filters(
        folders=tuple(map(to_path, values["folder"] or ())),
        name=values["name"],
        after=date(values["after"]),
        before=date(values["before"]),
        camera=values["camera"],
        keywords=tuple(values["keyword"] or ()),
        people=tuple(values["person"] or ()),
        places=tuple(values["place"] or ()),
        rating=values["rating"],
        orientation=values["orientation"],
        min_megapixels=values["min_megapixels"],
        max_megapixels=values["max_megapixels"],
        has_place=values["has_place"],
        near=circle(values["near"]),
    )


def with_filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that it has an option for each filter instead of the parameter `filters`."""

    @wraps(command)
    def with_options(**values: object) -> None:
        filters = filters_of({name: values.pop(name) for name in FILTERS})
        command(**values, filters=filters)

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += _options() if parameter.name == "filters" else [parameter]
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_options


def _options() -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if one.type is bool else None,
            annotation=Annotated[
                one.type if one.type is bool else one.type | None,
                typer.Option(
                    f"--{name.replace('_', '-')}", metavar=one.metavar, help=one.help, callback=_CHECKS.get(name)
                ),
            ],
        )
        for name, one in FILTERS.items()
    ]


def date(text: str | None) -> datetime | None:
    """Parse a date such as 2021, 2021-03 or 2021-03-15T18:30, and return its beginning. Raises UsageError."""
    if text is None:
        return None
    if parts := _DATE.fullmatch(text.strip()):
        year, month, day, hour, minute, second = (None if part is None else int(part) for part in parts.groups())
        try:
            return datetime(year or 0, month or 1, day or 1, hour or 0, minute or 0, second or 0)
        except ValueError:  # no such date
            pass
    raise UsageError(f"{text!r} is not a date", "Write 2021, 2021-03, 2021-03-15 or 2021-03-15T18:30")


def circle(text: str | None) -> Circle | None:
    """Parse a town name or coordinates with a radius, and return the circle. Raises PixsearchError."""
    if text is None:
        return None
    *centre, radius = text.removesuffix("km").split(",")
    name, radius_km, coordinates = ",".join(centre), _number(radius), [_number(part) for part in centre]
    match coordinates:
        case [float(latitude), float(longitude)] if radius_km is not None:
            return Circle(latitude, longitude, radius_km)
    if radius_km is None or not any(map(str.isalpha, name)):
        hint = "Use NAME,KM or LAT,LON,KM, e.g. Kyoto,20 or 48.86,2.35,10"
        raise UsageError(f"{text!r} is not a location with a radius", hint)
    from pixsearch.gazetteer.gazetteer import named, words  # imports numpy, which only names need

    if (town := named(name)) is None:
        hint = "Check the spelling, or use LAT,LON,KM; only towns of 5,000 people or more are known"
        raise UsageError(f"unknown town {name!r}", hint)
    shown = f"{words(town)} ({town.latitude:.3f}, {town.longitude:.3f})"
    return Circle(town.latitude, town.longitude, radius_km, shown)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _checked(read: Callable[[str | None], object]) -> Callable[[str | None], str | None]:
    """Return an option callback that rejects a value if `read` cannot parse it, so that the error names the option."""

    def check(text: str | None) -> str | None:
        try:
            read(text)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from error
        return text

    return check


_CHECKS = {
    "after": _checked(date),
    "before": _checked(date),
    "near": _checked(lambda text: Filters(near=circle(text))),
}
