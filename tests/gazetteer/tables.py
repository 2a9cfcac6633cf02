"""Small tables of places for tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixsearch.gazetteer.table import Table

Row = tuple[str, float, float, int]
"""Names separated by tabs, latitude, longitude and population."""


def table_of(places: Sequence[Row], sections: Sequence[str] = ()) -> Table:
    """Return a table of places, all in Testshire, Testland."""
    names, latitudes, longitudes, populations = zip(*places, strict=True)
    return Table(
        ["Testland\tTL"],
        ["Testshire"],
        np.zeros(1, np.int64),
        list(names),
        np.zeros(len(places), np.int64),
        np.array(latitudes, np.float64),
        np.array(longitudes, np.float64),
        np.array(populations, np.int64),
        np.isin(names, sections),
    )
