"""Read and write the table of places.

The file is xz-compressed text. It contains the columns of `Table` in order, separated by form feeds, with one value per
line. Places are sorted by region and longitude. Each longitude is stored as the difference from the previous one, which
compresses well. The file is created by benchmarks/cut_gazetteer.py.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import PixsearchError

SHIPPED_TABLE = Path(__file__).parent / "geonames.txt.xz"

_COMPRESSION = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0}  # saves 1 % for text
_THOUSANDTHS = 1000  # 0.001 degrees is at most 111 m


@dataclass(frozen=True, slots=True)
class Table:
    """Countries, their regions, and the places in each region.

    The names of a country, region or place are stored in a single string, separated by tabs. The first name is shown,
    and the others are used only for searching. The first name of a region may be empty.
    """

    countries: list[str]
    regions: list[str]
    region_countries: NDArray[np.int64]
    """For each region, the index of its country in `countries` [regions]."""
    places: list[str]
    place_regions: NDArray[np.int64]
    """For each place, the index of its region in `regions` [places]."""
    latitudes: NDArray[np.float64]
    """The latitude of each place in degrees, rounded to three decimals [places]."""
    longitudes: NDArray[np.float64]
    populations: NDArray[np.int64]
    """The population of each place, rounded to three significant digits [places]."""
    are_sections: NDArray[np.bool_]
    """Whether each place is a section of a larger one [places]."""


def write_table(table: Table, path: Path) -> None:
    longitudes = np.round(table.longitudes * _THOUSANDTHS).astype(np.int64)
    columns = (
        table.countries,
        table.regions,
        map(str, table.region_countries),
        table.places,
        map(str, table.place_regions),
        map(str, np.round(table.latitudes * _THOUSANDTHS).astype(np.int64)),
        map(str, np.diff(longitudes, prepend=0)),
        (f"{population:.2e}" for population in table.populations),
        map(str, table.are_sections.astype(np.int64)),
    )
    text = "\f".join("\n".join(column) for column in columns)
    path.write_bytes(lzma.compress(text.encode(), filters=[_COMPRESSION]))


def read_table(path: Path = SHIPPED_TABLE) -> Table:
    """Read a table from a file. Raises PixsearchError if the file is missing or damaged."""
    try:
        columns = lzma.decompress(path.read_bytes()).decode().split("\f")
    except (OSError, lzma.LZMAError) as error:
        raise PixsearchError(f"cannot read the table of places {path}: {error}", "Reinstall pixsearch") from error
    countries, regions, region_countries, places, place_regions, *numbers = columns
    latitudes, longitudes, populations, are_sections = map(_numbers, numbers)
    return Table(
        countries.split("\n"),
        regions.split("\n"),
        _numbers(region_countries).astype(np.int64),
        places.split("\n"),
        _numbers(place_regions).astype(np.int64),
        latitudes / _THOUSANDTHS,
        longitudes.cumsum() / _THOUSANDTHS,
        populations.astype(np.int64),
        are_sections.astype(np.bool_),
    )


def _numbers(column: str) -> NDArray[np.float64]:
    return np.fromstring(column, np.float64, sep="\n")
