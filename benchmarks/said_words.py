"""Measure the cost of the metadata index: query time, indexing time and disk space.

    python benchmarks/said_words.py --pictures pictures/ [--photos 100000]

The library is made as in latency.py. Each photo gets a random camera, date, town and file name (with a fixed seed), and
half of the photos also get people and keywords. Queries run alternately with metadata and without (--shows), in one
process.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.latency import QUERIES, make_library
from benchmarks.measuring import PIXSEARCH, print_machine, take
from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.library import storing
from pixsearch.library.postings import post_terms_at
from pixsearch.metadata import Metadata
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime

METADATA_QUERIES = [
    "Anna on the beach",
    "a temple in Kyoto 2019",
    "red car, last summer",
    "IMG_0043",
    "Hiroshi Tanaka",
    "two children at a birthday",
]
ROUNDS = 10
_FIRST = ["Anna", "Bertrand", "Chiara", "Hiroshi", "Ingrid", "Liam"]
_LAST = ["Lindqvist", "Okoye", "Moretti", "Tanaka", "Solheim", "O'Brien"]
_PEOPLE = [f"{first} {last}" for first in _FIRST for last in _LAST]
_TOWNS = [(35.0211, 135.7538), (38.7167, -9.1333), (64.1355, -21.8954), (48.8534, 2.3488), (40.7128, -74.006)]
_KEYWORDS = ["birthday", "beach", "garden", "holiday", "work", "family", "to print", "dog", "snow", "concert"]
_CAMERAS = ["Canon EOS R6", "NIKON Z 6", "Apple iPhone 15 Pro", "SONY ILCE-7M4"]


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to make the library from.")],
    photos: Annotated[int, typer.Option(help="Number of photos.")] = 100_000,
    library: Annotated[Path | None, typer.Option(help="Folder to keep the library in for the next run.")] = None,
) -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = library or Path(scratch) / "large"
        if not folder.exists():
            source = Path(scratch) / "library"
            take([PIXSEARCH, "index", pictures, "--library", source])
            spent, timed = timing(post_terms_at)
            storing.post_terms_at = timed  # type: ignore[attr-defined]
            make_library(source, folder, photos, made_up(random.Random(0)))
            print(f"{photos:,} photos, words indexed in {1000 * sum(spent) / photos:.2f} ms per photo")
        print_sizes(folder / "library.db", photos)
        print_queries(folder)


def timing(work: Callable[..., None]) -> tuple[list[float], Callable[..., None]]:
    """Wrap a function. Return a list that collects the duration of each call in seconds, and the wrapped function."""
    spent: list[float] = []

    def timed(*arguments: object) -> None:
        began = time.perf_counter()
        work(*arguments)
        spent.append(time.perf_counter() - began)

    return spent, timed


def made_up(draw: random.Random) -> Callable[[int], tuple[str, Metadata]]:
    """Return a function that takes the number of a photo and returns a made-up path below the root, and metadata."""

    def photo(number: int) -> tuple[str, Metadata]:
        latitude, longitude = draw.choice(_TOWNS)
        has_more = draw.random() < 0.5
        metadata = Metadata(
            "JPEG",
            4000,
            3000,
            taken_at=datetime(2012, 1, 1) + timedelta(minutes=draw.randrange(14 * 365 * 24 * 60)),
            date_kind="taken",
            camera=draw.choice(_CAMERAS),
            latitude=latitude + draw.uniform(-0.1, 0.1),
            longitude=longitude + draw.uniform(-0.1, 0.1),
            keywords=tuple(draw.sample(_KEYWORDS, 2)) if has_more else (),
            people=tuple(draw.sample(_PEOPLE, 1)) if has_more else (),
        )
        return f"{metadata.taken_at:%Y/%m %B}/IMG_{number % 10_000:04}.JPG", metadata

    return photo


def print_sizes(database: Path, photos: int) -> None:
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT count(*) FROM postings").fetchone()[0]
        [size] = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%postings%'").fetchone()
    whole = database.stat().st_size
    print(
        f"{rows / photos:.1f} terms and {size / photos:.0f} bytes per photo, "
        f"{size / (whole - size):.1%} of the other {(whole - size) / 1e6:,.0f} MB"
    )


def print_queries(folder: Path) -> None:
    runtime = PixelBertRuntime(find_checkpoint(None))
    with Library.open(folder) as library:
        engine = SearchEngine(library, runtime)
        for kind, texts in (("visual", QUERIES), ("metadata", METADATA_QUERIES)):
            taken: dict[str, list[float]] = {"both": [], "shows": []}
            for text in [texts[0], *texts * ROUNDS]:
                for evidence, times in taken.items():
                    query = Query((Words(text),), evidence=evidence, duplicates="show")  # type: ignore[arg-type]
                    began = time.perf_counter()
                    engine.search(query)
                    times.append(1000 * (time.perf_counter() - began))
            both, shows = (statistics.median(times[1:]) for times in taken.values())
            print(
                f"{kind} queries: {both:.1f} ms, pixels only {shows:.1f} ms, {both - shows:+.1f}",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
