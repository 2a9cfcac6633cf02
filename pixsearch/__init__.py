"""Search photos by what is in them. This is the public API; everything else is private to the project.

from pixsearch import Library, SearchEngine

with Library.open(folder) as library:
    for hit in SearchEngine(library).search("cherry blossoms in spring"):
        print(hit.rank, hit.path)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pixsearch.errors import PixsearchError

if TYPE_CHECKING:
    from pixsearch.filters import Circle, Filters
    from pixsearch.library.library import Library
    from pixsearch.search.engine import SearchEngine
    from pixsearch.search.hits import Hit, TextHit
    from pixsearch.search.query import Picture, Query, Words

__version__ = "0.2.0"

__all__ = [
    "Circle",
    "Filters",
    "Hit",
    "Library",
    "Picture",
    "PixsearchError",
    "Query",
    "SearchEngine",
    "TextHit",
    "Words",
]

# Imported lazily: faiss and sqlalchemy would add half a second to `import pixsearch`.
_MODULES = {
    "Circle": "pixsearch.filters",
    "Filters": "pixsearch.filters",
    "Hit": "pixsearch.search.hits",
    "Library": "pixsearch.library.library",
    "Picture": "pixsearch.search.query",
    "Query": "pixsearch.search.query",
    "SearchEngine": "pixsearch.search.engine",
    "TextHit": "pixsearch.search.hits",
    "Words": "pixsearch.search.query",
}


def __getattr__(name: str) -> object:
    if module := _MODULES.get(name):
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"annotations", "importlib", "TYPE_CHECKING"})
