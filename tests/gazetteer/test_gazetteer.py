from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixsearch.gazetteer import gazetteer
from pixsearch.gazetteer.gazetteer import FARTHEST_KM, Gazetteer, GazetteerPlace, named, nearest, shipped, words
from pixsearch.gazetteer.table import Table, read_table
from tests.gazetteer.tables import Row, table_of

SPOTS = {
    "Eiffel Tower": (48.8584, 2.2945, "Paris, Île-de-France, France"),
    "Versailles": (48.8049, 2.1204, "Versailles, Île-de-France, France"),
    "Times Square": (40.7580, -73.9855, "New York City, New York, United States"),
    "Golden Gate Bridge": (37.8199, -122.4783, "San Francisco, California, United States"),
    "Sather Tower": (37.8719, -122.2585, "Berkeley, California, United States"),
    "Rodeo Drive": (34.0700, -118.4040, "Beverly Hills, California, United States"),
    "Millennium Park": (41.8827, -87.6233, "Chicago, Illinois, United States"),
    "White House": (38.8977, -77.0365, "Washington, District of Columbia, United States"),
    "CN Tower": (43.6426, -79.3871, "Toronto, Ontario, Canada"),
    "Shibuya crossing": (35.6595, 139.7005, "Tokyo, Japan"),
    "Yokohama Landmark Tower": (35.4548, 139.6317, "Yokohama, Kanagawa, Japan"),
    "Kinkaku-ji": (35.0394, 135.7292, "Kyoto, Japan"),
    "Gangnam Station": (37.4979, 127.0276, "Seoul, South Korea"),
    "Tower Bridge": (51.5055, -0.0754, "London, England, United Kingdom"),
    "Stonehenge": (51.1789, -1.8262, "Amesbury, England, United Kingdom"),
    "Alexanderplatz": (52.5219, 13.4132, "Berlin, State of Berlin, Germany"),
    "Sanssouci": (52.4042, 13.0385, "Potsdam, Brandenburg, Germany"),
    "Colosseum": (41.8902, 12.4922, "Rome, Lazio, Italy"),
    "Sagrada Família": (41.4036, 2.1744, "Barcelona, Catalonia, Spain"),
    "Schönbrunn": (48.1845, 16.3122, "Vienna, Austria"),
    "Hallgrímskirkja": (64.1417, -21.9266, "Reykjavík, Capital Region, Iceland"),
    "Hagia Sophia": (41.0086, 28.9802, "Istanbul, Turkey"),
    "Taj Mahal": (27.1751, 78.0421, "Agra, Uttar Pradesh, India"),
    "Marina Bay": (1.2834, 103.8607, "Singapore"),
    "Sydney Opera House": (-33.8568, 151.2153, "Sydney, New South Wales, Australia"),
    "Copacabana": (-22.9711, -43.1823, "Rio de Janeiro, Brazil"),
    "Table Mountain": (-33.9628, 18.4098, "Cape Town, Western Cape, South Africa"),
}


@pytest.mark.parametrize("spot", SPOTS)
def test_a_photo_is_in_the_city_that_a_person_would_name(spot: str) -> None:
    latitude, longitude, expected = SPOTS[spot]

    place = nearest(latitude, longitude)

    assert place is not None
    assert words(place) == expected


@pytest.mark.parametrize(
    "coordinates",
    [(0, -150), (23, 10), (-90, 0), (90, 0), (36.4618, 25.3753)],
    ids=["Pacific", "Sahara", "South Pole", "North Pole", "Santorini"],
)
def test_a_photo_far_from_every_town_is_nowhere(coordinates: tuple[float, float]) -> None:
    assert nearest(*coordinates) is None


@pytest.mark.parametrize(
    "coordinates", [(math.nan, 2.3), (48.9, math.nan), (math.inf, 0), (0, -math.inf), (90.1, 0), (-91, 0)]
)
def test_what_is_not_on_the_globe_is_nowhere(coordinates: tuple[float, float]) -> None:
    assert Gazetteer(table_of([("Pole", 90, 0, 5000), ("Null", 0, 0, 5000)])).nearest(*coordinates) is None


def test_a_place_is_near_up_to_50_km() -> None:
    town = Gazetteer(table_of([("Town", 0, 0, 5000)]))

    # A degree along the equator is 2 * pi * 6371.0088 / 360 = 111.195 km.
    assert town.nearest(0, 49.9 / 111.195) is not None
    assert town.nearest(50.1 / 111.195, 0) is None


def test_across_the_date_line_it_is_not_far() -> None:
    islands = Gazetteer(table_of([("East", -16.8, -179.95, 5000), ("West", -16.8, 179.7, 5000)]))

    place = islands.nearest(-16.8, 179.95)

    assert place is not None
    assert place.name == "East"  # 0.1 degrees away rather than 0.25


def test_around_the_pole_longitudes_are_near_each_other() -> None:
    station = Gazetteer(table_of([("Station", 89.9, 0, 5000)]))

    assert station.nearest(89.9, 180) is not None  # 0.2 degrees across the pole, 22 km
    assert station.nearest(89.6, 180) is None  # 0.5 degrees, 56 km


def test_a_city_reaches_as_far_as_its_people_do() -> None:
    # With 8,000 people per km², the disc for 5,000 people has a radius of 0.446 km, and the disc for 2,000,000 has one
    # of 8.92 km. 0.06 degrees of latitude are 6.67 km, and 0.02 degrees are 2.22 km.
    around = Gazetteer(table_of([("City", 0, 0, 2_000_000), ("Village", 0.08, 0, 5000)]))

    def name_at(latitude: float) -> str | None:
        place = around.nearest(latitude, 0)
        return None if place is None else place.name

    assert name_at(0.06) == "City"
    assert name_at(0.08) == "Village"
    # Outside both discs: 10.01 - 8.92 = 1.09 km from the city's, and 1.11 - 0.45 = 0.66 km from the village's.
    assert name_at(0.09) == "Village"


def test_a_section_of_a_city_is_the_city_but_is_found_by_its_name() -> None:
    parts = Gazetteer(table_of([("City", 0, 0, 2_000_000), ("Quarter", 0.03, 0, 60_000)], sections=["Quarter"]))

    nearest_place, named_place = parts.nearest(0.03, 0), parts.named("quarter")

    assert nearest_place is not None
    assert nearest_place.name == "City"
    assert named_place is not None
    assert named_place.name == "Quarter"


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Draw places close to each other, near a point that may be a pole or on the date line."""
    latitude = draw(st.sampled_from([-90.0, -33.0, 0.0, 51.0, 89.5]))
    longitude = draw(st.sampled_from([-180.0, -179.9, 0.0, 179.8]))
    offsets = st.floats(-1, 1)
    return [
        (
            f"P{index}",
            max(-90.0, min(90.0, latitude + draw(offsets))),
            (longitude + draw(offsets) * draw(st.sampled_from([1, 180])) + 180) % 360 - 180,
            draw(st.sampled_from([0, 5000, 70_000, 900_000, 12_000_000])),
        )
        for index in range(draw(st.integers(1, 12)))
    ]


@given(tables(), st.floats(-1, 1), st.floats(-180, 180))
def test_the_nearest_is_that_of_brute_force(rows: list[Row], up: float, across: float) -> None:
    latitude = max(-90.0, min(90.0, rows[0][1] + up))
    longitude = rows[0][2] + across

    def distance_km(row: Row) -> float:
        """Return the distance by Vincenty's formula for a sphere."""
        phi, other, across = math.radians(latitude), math.radians(row[1]), math.radians(row[2] - longitude)
        y = math.hypot(
            math.cos(other) * math.sin(across),
            math.cos(phi) * math.sin(other) - math.sin(phi) * math.cos(other) * math.cos(across),
        )
        return 6371.0088 * math.atan2(
            y, math.sin(phi) * math.sin(other) + math.cos(phi) * math.cos(other) * math.cos(across)
        )

    def cost(row: Row) -> float:
        """Return the distance in radii or, outside the disc, 1 plus the distance to its edge in km."""
        radius = math.sqrt(max(row[3], 1) / 8000 / math.pi)
        distance = distance_km(row)
        return distance / radius if distance <= radius else 1 + distance - radius

    place = Gazetteer(table_of(rows)).nearest(latitude, longitude)

    distances = {row[0]: distance_km(row) for row in rows}
    if place is None:
        assert min(distances.values()) > FARTHEST_KM - 1e-4
    else:
        assert distances[place.name] <= FARTHEST_KM + 1e-4
        costs = {row[0]: cost(row) for row in rows if distances[row[0]] <= FARTHEST_KM - 1e-4}
        assert costs.get(place.name, math.inf) <= min(costs.values(), default=math.inf) + 1e-4


NAMES = {
    "Kyoto": "Kyoto, Japan",
    "kyōto": "Kyoto, Japan",
    "京都": "Kyoto, Japan",
    "KYOTO, JAPAN": "Kyoto, Japan",
    "Paris": "Paris, Île-de-France, France",
    "Paris, Texas": "Paris, Texas, United States",
    "paris tx": "Paris, Texas, United States",
    "Springfield, Illinois": "Springfield, Illinois, United States",
    "Springfield, IL, USA": "Springfield, Illinois, United States",
    "Cambridge, United Kingdom": "Cambridge, England, United Kingdom",
    "Cambridge, Massachusetts": "Cambridge, Massachusetts, United States",
    "London, Ontario": "London, Ontario, Canada",
    "London, UK": "London, England, United Kingdom",
    "New York": "New York City, New York, United States",
    "Washington, D.C.": "Washington, District of Columbia, United States",
    "Shibuya": "Shibuya, Tokyo, Japan",
    "Tromso": "Tromsø, Troms, Norway",
    "Xian": "Xi’an, Shaanxi, China",
    "aix en provence": "Aix-en-Provence, Provence-Alpes-Côte d'Azur, France",
    "Nara": "Nara-shi, Nara, Japan",
    "Frankfurt": "Frankfurt am Main, Hesse, Germany",
    "München": "Munich, Bavaria, Germany",
    "Lucerne": "Luzern, Lucerne, Switzerland",
    "Roma": "Rome, Lazio, Italy",
    "Cancun": "Cancún, Quintana Roo, Mexico",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_place_is_found_by_the_ways_in_which_people_write_it(name: str) -> None:
    place = named(name)

    assert place is not None
    assert words(place) == NAMES[name]


@pytest.mark.parametrize("name", ["", " ", ",", ".", "Xyzzyville", "Paris, Kentuckyshire", "Texas, Paris"])
def test_a_name_that_no_place_has_finds_none(name: str) -> None:
    assert named(name) is None


def test_of_places_of_one_name_the_most_populous_is_taken() -> None:
    table = table_of([("Same", 0, 0, 6000), ("SÁME", 10, 10, 9000), ("Same", 20, 20, 8000)])

    place = Gazetteer(table).named("same")

    assert place == GazetteerPlace("SÁME", "Testshire", "Testland", 10.0, 10.0, 9000)


def test_a_name_in_another_language_counts_for_a_twentieth() -> None:
    table = table_of([("Own", 0, 0, 6000), ("Other\tOwn", 1, 1, 119_000), ("Far\tTheirs", 2, 2, 121_000)])
    found = Gazetteer(table)

    own, theirs = found.named("own"), found.named("theirs")

    assert own is not None
    assert own.name == "Own"
    assert theirs is not None
    assert theirs.name == "Far"
    larger = Gazetteer(table_of([("Own", 0, 0, 6000), ("Other\tOwn", 1, 1, 121_000)])).named("own")
    assert larger is not None
    assert larger.name == "Other"


def test_a_short_form_counts_like_the_name() -> None:
    place = Gazetteer(table_of([("Rothen", 0, 0, 6000), ("Rothen ob der Tauber\tRothen", 1, 1, 9000)])).named("rothen")

    assert place is not None
    assert place.name == "Rothen ob der Tauber"


def test_equal_parts_are_said_once() -> None:
    assert words(GazetteerPlace("Singapore", "", "Singapore", 1.3, 103.9, 5_600_000)) == "Singapore"
    assert words(GazetteerPlace("México", "Mexico", "Mexico", 19.4, -99.1, 9_000_000)) == "México"
    assert words(GazetteerPlace("Munich", "Bavaria", "Germany", 48.1, 11.6, 1_500_000)) == "Munich, Bavaria, Germany"


def test_the_table_is_read_once_however_many_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, barrier = list[None](), Barrier(8)

    def read_and_count() -> Table:
        reads.append(None)
        return read_table()

    monkeypatch.setattr(gazetteer, "read_table", read_and_count)
    gazetteer._read.cache_clear()

    def ask(_: int) -> Gazetteer:
        barrier.wait()
        return shipped()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(ask, range(8)))

    assert len(found) == 1
    assert len(reads) == 1


def test_the_table_is_read_when_a_place_is_asked_for_and_not_before() -> None:
    code = (
        "from pixsearch.gazetteer import gazetteer\n"
        "print(gazetteer._read.cache_info().currsize)\n"
        "gazetteer.nearest(48.86, 2.35)\n"
        "print(gazetteer._read.cache_info().currsize)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["0", "1"]
