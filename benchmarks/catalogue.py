"""Measure how fast SQLite and PostgreSQL store photos and answer queries, excluding decoding, the model and the search.

    python benchmarks/catalogue.py [--photos 100000 --photos 1000000] [--grid-kb 27]

Random encoded photos are stored with the commit size of `pixsearch index`, as if a cluster had encoded them. The
benchmark starts its own PostgreSQL server with default settings. Both databases are on the same disk. Queries are
repeated five times, and the shortest time is printed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.measuring import print_machine
from pixsearch import Filters, Library
from pixsearch.database.state import LibraryModel
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.settings import Location
from pixsearch.storage import FileStamp
from pixsearch_indexer.pipeline import STORE_AT_ONCE
from tests.postgres import PG_CTL, postgres_server

SIZE = 384
ROOT, A_FOLDER = Path("/photos"), 500
ROUNDS = 5


def main(
    photos: Annotated[list[int] | None, typer.Option(help="Number of photos; may be repeated.")] = None,
    grid_kb: Annotated[float, typer.Option(help="Size of each pixel grid.")] = 27.0,
) -> None:
    print_machine()
    with (
        tempfile.TemporaryDirectory() as scratch,
        nullcontext() if PG_CTL is None else postgres_server(durable=True) as server,
    ):
        os.environ["XDG_DATA_HOME"] = scratch
        for count in photos or [100_000]:
            locations: dict[str, Location] = {"SQLite": Path(scratch) / str(count)}
            if server is not None:
                locations["PostgreSQL"] = server.new_database()
            for name, location in locations.items():
                with Library.create(location) as library:
                    print(f"{name}, {count:,} photos")
                    store(library, count, int(1000 * grid_kb))
                    read(library)


def store(library: Library, count: int, grid_bytes: int) -> None:
    random = np.random.default_rng(0)
    grid = random.bytes(grid_bytes + STORE_AT_ONCE)
    writing_s = 0.0
    with library.writing() as writer:
        writer.use_model(LibraryModel("ab" * 32, "random", SIZE))
        root, _ = writer.root_of(os.fsencode(ROOT))
        for start in range(0, count, STORE_AT_ONCE):
            embeddings = random.standard_normal((STORE_AT_ONCE, SIZE)).astype(np.float32)
            contents, files = [], []
            for location, number in enumerate(range(start, min(start + STORE_AT_ONCE, count))):
                path = ROOT / f"{number // A_FOLDER:06}" / f"{number:09}.jpg"
                day = datetime.fromtimestamp(1_000_000_000 + 3600 * number)
                metadata = Metadata("JPEG", 4000, 3000, taken_at=day, camera="Some Camera")
                digest = b"%032d" % number
                contents.append(
                    NewContent(digest, number, metadata, embeddings[location], grid[location : location + grid_bytes])
                )
                files.append(IndexedFile(os.fsencode(path), FileStamp(number, 1), digest))
            began = time.perf_counter()
            writer.encoded_of_sizes({file.stamp.size_bytes for file in files})
            writer.encoded_among([file.digest for file in files])
            writer.store(root, contents, files, [])
            writing_s += time.perf_counter() - began
    status = library.status()
    print(f"  stored {count / writing_s:,.0f} photos/s, {status.database_bytes / count:,.0f} bytes per photo")


def read(library: Library) -> None:
    ids = library.passing(Filters())
    some = np.random.default_rng(1).choice(ids, 32, replace=False).tolist()
    folder = Filters(folders=(ROOT / "000007",))
    month = Filters(after=datetime(2001, 10, 1), before=datetime(2001, 11, 1))
    for name, work in {
        "all photos, for a refresh": lambda: sum(map(len, library.known_photos(os.fsencode(ROOT)))),
        "32 candidates": lambda: library.candidates(some),
        "32 grids": lambda: library.grids(some),
        "photos in a folder": lambda: library.passing(folder),
        "photos from a month": lambda: library.passing(month),
        "status": library.status,
    }.items():
        print(f"  {name}: {1000 * shortest(work):,.1f} ms", flush=True)


def shortest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    typer.run(main)
