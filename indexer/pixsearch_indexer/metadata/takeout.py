"""The .json that Google Takeout puts beside a photo."""

from __future__ import annotations

import json
from typing import NamedTuple


class Takeout(NamedTuple):
    """What such a file says. Each value may be anything that JSON has."""

    description: object
    taken_s: object
    """Since 1970, in UTC."""
    gps: list[tuple[object, object]]
    """Latitude and longitude, the one that the user can change first."""
    people: list[object]


def read_takeout(data: bytes) -> Takeout | None:
    """Return what such a file says; None for a JSON file that is something else."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not ("photoTakenTime" in said or "geoDataExif" in said):
        return None
    people = said.get("people")
    return Takeout(
        description=said.get("description"),
        taken_s=_object(said.get("photoTakenTime")).get("timestamp"),
        gps=[
            (place.get("latitude"), place.get("longitude"))
            for place in (_object(said.get(name)) for name in ("geoData", "geoDataExif"))
        ],
        people=[_object(person).get("name") for person in people] if isinstance(people, list) else [],
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
