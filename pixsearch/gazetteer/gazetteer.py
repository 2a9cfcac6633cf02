"""A gazetteer, which finds places by coordinates or name."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from functools import cache, cached_property
from threading import Lock
from typing import NamedTuple

import numpy as np

from pixsearch.gazetteer.discs import EARTH_RADIUS_KM, radii_km, unit_vectors
from pixsearch.gazetteer.names import name_key
from pixsearch.gazetteer.table import Table, read_table

FARTHEST_KM = 50
"""The maximum distance of a photo from the centre of its place."""

_FARTHEST_DEGREES = math.degrees(FARTHEST_KM / EARTH_RADIUS_KM) * 1.001
_FARTHEST_COSINE = math.cos(FARTHEST_KM / EARTH_RADIUS_KM)
_FOREIGN = 20
"""The divisor for the population of a place that is found by its name in another language."""
_LOADING = Lock()


class GazetteerPlace(NamedTuple):
    """A city, town or village from GeoNames."""

    name: str
    region: str
    """The first-order administrative division, such as a state; empty if there is none."""
    country: str
    latitude: float
    longitude: float
    population: int
    """The population, rounded to three significant digits."""


class Gazetteer:
    """A searchable table of places."""

    def __init__(self, table: Table) -> None:
        self._table = table
        rows = np.flatnonzero(~table.are_sections)
        self._rows = rows[table.latitudes[rows].argsort(kind="stable")]  # from south to north
        self._latitudes = table.latitudes[self._rows].tolist()
        self._x, self._y, self._z = unit_vectors(table.latitudes[self._rows], table.longitudes[self._rows])
        self._radii_km = radii_km(table.populations[self._rows])

    def nearest(self, latitude: float, longitude: float) -> GazetteerPlace | None:
        """Return the place that a person would name for a location (in degrees; north and east are positive).

        Each place is a disc with 8,000 people per km². If the coordinates are inside one or more discs, choose the disc
        whose centre is nearest relative to its radius, so that larger cities extend further. Otherwise, choose the disc
        whose edge is nearest. Sections of cities are left out (see `find_sections`). Distances are great-circle
        distances.

        Returns None if there is no place whose centre is within 50 km, or if the coordinates are invalid.
        """
        if not (abs(latitude) <= 90 and math.isfinite(longitude)):
            return None
        start = bisect_left(self._latitudes, latitude - _FARTHEST_DEGREES)
        end = bisect_right(self._latitudes, latitude + _FARTHEST_DEGREES)
        phi, theta = math.radians(latitude), math.radians(longitude)
        cosines = self._x[start:end] * (math.cos(phi) * math.cos(theta))
        cosines += self._y[start:end] * (math.cos(phi) * math.sin(theta))
        cosines += self._z[start:end] * math.sin(phi)
        near = (cosines >= _FARTHEST_COSINE).nonzero()[0]
        if not near.size:
            return None
        distances_km = EARTH_RADIUS_KM * np.arccos(np.minimum(cosines[near], 1.0))
        radii = self._radii_km[start:end][near]
        shares = distances_km / radii
        best = shares.argmin()
        if shares[best] > 1:
            best = (distances_km - radii).argmin()
        return self._place(int(self._rows[start + near[best]]))

    def named(self, name: str) -> GazetteerPlace | None:
        """Return the most populous place with the given name, ignoring case, accents, hyphens and apostrophes.

        The name can be followed by the region, the country or both, as in "Paris, Texas" and "Springfield IL USA".
        Well-known places also have names in other languages, for which the population is divided by 20: Roma is Rome
        and not a town in Texas, but Cancún is not Changchun in China. Returns None if no place has this name.
        """
        given = name_key(name).split(" ")
        for count in range(len(given), 0, -1):
            whereabouts = " ".join(given[count:])
            for row in self._rows_by_name.get(" ".join(given[:count]), ()):
                if not whereabouts or whereabouts in self._whereabouts(row):
                    return self._place(row)
        return None

    @cached_property
    def _rows_by_name(self) -> dict[str, list[int]]:
        """The rows of the places with each name, in order of preference."""
        people, rows = self._table.populations.tolist(), defaultdict[str, list[int]](list)
        foreign = set[tuple[str, int]]()
        for row, keys in enumerate(name_key("\n".join(self._table.places)).split("\n")):  # a single call is faster
            own, *others = keys.split("\t")
            rows[own].append(row)
            for other in others:
                rows[other].append(row)
                if not own.startswith(f"{other} "):  # not a short form, such as Frankfurt for Frankfurt am Main
                    foreign.add((other, row))
        for key, of_name in rows.items():
            if len(of_name) > 1:
                of_name.sort(key=lambda row: -people[row] / (_FOREIGN if (key, row) in foreign else 1))
        return rows

    def _whereabouts(self, row: int) -> set[str]:
        """Return the strings that can follow the name of a place: its region, its country, or both."""
        region = self._table.place_regions[row]
        regions = name_key(self._table.regions[region]).split("\t")
        countries = name_key(self._table.countries[self._table.region_countries[region]]).split("\t")
        return {*regions, *countries, *(f"{region} {country}" for region in regions for country in countries)}

    def _place(self, row: int) -> GazetteerPlace:
        table, region = self._table, self._table.place_regions[row]
        return GazetteerPlace(
            _shown(table.places[row]),
            _shown(table.regions[region]),
            _shown(table.countries[table.region_countries[region]]),
            float(table.latitudes[row]),
            float(table.longitudes[row]),
            int(table.populations[row]),
        )


def nearest(latitude: float, longitude: float) -> GazetteerPlace | None:
    """Call `nearest` on the built-in gazetteer. Raises PixsearchError."""
    return shipped().nearest(latitude, longitude)


def named(name: str) -> GazetteerPlace | None:
    """Call `named` on the built-in gazetteer. Raises PixsearchError."""
    return shipped().named(name)


def words(place: GazetteerPlace) -> str:
    """Return a place in words, such as "Munich, Bavaria, Germany". Repeated parts, as in Singapore, are omitted."""
    parts: dict[str, str] = {}
    for part in filter(None, (place.name, place.region, place.country)):
        parts.setdefault(name_key(part), part)
    return ", ".join(parts.values())


def shipped() -> Gazetteer:
    """Return the built-in gazetteer, which is loaded on the first call. Raises PixsearchError."""
    with _LOADING:
        return _read()


@cache
def _read() -> Gazetteer:
    return Gazetteer(read_table())


def _shown(names: str) -> str:
    return names.partition("\t")[0]
