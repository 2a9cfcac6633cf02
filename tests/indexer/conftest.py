from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo

COLOURS = ["red", "lime", "blue", "magenta", "cyan"]


@pytest.fixture
def indexed(library: Library, runtime: ColourRuntime, photos: Path) -> Library:
    """A library of five photos, `red.png` to `cyan.png`."""
    for colour in COLOURS:
        make_photo(photos / f"{colour}.png", colour)
    index_folders(library, runtime, [photos])
    runtime.pictures_encoded = 0
    return library
