"""Read the .json file that Google Takeout adds to a photo."""

from __future__ import annotations

import json
from typing import NamedTuple


class Takeout(NamedTuple):
    """The metadata in a Takeout file. Fields of type `object` may be any JSON value."""

    description: object
    taken_s: object
    """The Unix timestamp, in seconds."""
    gps: list[tuple[object, object]]
    """The latitudes and longitudes in order of precedence, starting with the position that users can edit."""
    people: list[object]


def read_takeout(data: bytes) -> Takeout | None:
    """Parse a Takeout file; return None for any other file."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not ("photoTakenTime" in content or "geoDataExif" in content):
        return None
    people = content.get("people")
    return Takeout(
        description=content.get("description"),
        taken_s=_object(content.get("photoTakenTime")).get("timestamp"),
        gps=[
            (gps.get("latitude"), gps.get("longitude"))
            for gps in (_object(content.get(name)) for name in ("geoData", "geoDataExif"))
        ],
        people=[_object(person).get("name") for person in people] if isinstance(people, list) else [],
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
