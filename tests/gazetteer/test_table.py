from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixsearch.errors import PixsearchError
from pixsearch.gazetteer.table import SHIPPED_TABLE, read_table, write_table
from tests.gazetteer.tables import table_of


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = table_of(
        [
            ("Ærøskøbing\tEroskobing", 54.8881, 10.4111, 5004),
            ("東京", -35.6894, 139.6917, 9_733_276),
            ("C", 0, -179.999, 0),
        ],
        sections=["C"],
    )

    write_table(table, tmp_path / "table.xz")
    read = read_table(tmp_path / "table.xz")

    assert read.places == ["Ærøskøbing\tEroskobing", "東京", "C"]
    assert (read.countries, read.regions) == (["Testland\tTL"], ["Testshire"])
    assert read.latitudes.tolist() == [54.888, -35.689, 0]
    assert read.longitudes.tolist() == [10.411, 139.692, -179.999]
    assert read.populations.tolist() == [5000, 9_730_000, 0]
    assert read.are_sections.tolist() == [False, False, True]


def test_what_ships_are_the_places_of_the_world() -> None:
    table = read_table()

    assert len(table.places) > 60_000
    assert (
        len({len(table.places), *(len(column) for column in (table.latitudes, table.longitudes, table.populations))})
        == 1
    )
    assert len(table.are_sections) == len(table.place_regions) == len(table.places)
    assert table.place_regions.max() == len(table.regions) - 1
    assert table.region_countries.max() == len(table.countries) - 1
    assert len(table.region_countries) == len(table.regions)
    assert np.all(np.abs(table.latitudes) <= 90)
    assert np.all(np.abs(table.longitudes) <= 180)
    assert SHIPPED_TABLE.stat().st_size < 900_000


@pytest.mark.parametrize("damage", ["missing", "cut", "rotten"])
def test_a_damaged_table_is_named_in_one_line(tmp_path: Path, damage: str) -> None:
    path, whole = tmp_path / "geonames.txt.xz", SHIPPED_TABLE.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[:1000])
    elif damage == "rotten":
        path.write_bytes(whole[:500_000] + bytes([whole[500_000] ^ 1]) + whole[500_001:])

    with pytest.raises(PixsearchError, match="cannot read the table of places") as error:
        read_table(path)

    assert "Reinstall pixsearch" in str(error.value)
    assert "\n" not in str(error.value)


def test_geonames_is_credited_beside_its_table() -> None:
    notice = (SHIPPED_TABLE.parent / "NOTICE").read_text(encoding="utf-8")

    assert "https://www.geonames.org" in notice
    assert "CC BY 4.0" in notice
