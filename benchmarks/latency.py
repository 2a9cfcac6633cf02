"""How long a query takes in a program that stays: by stage, and how much memory it needs at most.

    pixsearch index pictures/ --library L
    python benchmarks/latency.py --library L [--photos 10000 --photos 100000]

A library of so many photos is made of L's own: embeddings and pixel grids, drawn again and again with noise. The
figures are medians over twenty queries, asked one after the other; the memory is the process's, model and all.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import typer

from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.library.records import FileStamp, IndexedFile, Metadata, NewContent
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime

QUERIES = [
    "a dog in the snow",
    "two children on a beach",
    "a red car",
    "mountains at sunset",
    "people eating at a table",
]
ROUNDS = 4
DRAWN_FROM = 2000
STORE_AT_ONCE = 500

Result = TypeVar("Result")


def main(
    library: Annotated[Path, typer.Option(help="Indexed with the model that ships.")],
    photos: Annotated[list[int] | None, typer.Option(help="How many; may be given again.")] = None,
    candidates: Annotated[int, typer.Option(help="That are re-ranked.")] = 32,
    asked: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    if asked is not None:
        ask(asked, candidates)
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| photos | words ms | FAISS ms | SQLite ms | re-rank ms | all ms | peak MB | library.db MB | opening s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count in photos or [10_000, 100_000]:
        with tempfile.TemporaryDirectory() as folder:
            make_library(library, Path(folder), count)
            # In a process of its own, whose memory is that of asking alone.
            command = [sys.executable, __file__, "--library", str(library), "--candidates", str(candidates)]
            subprocess.run([*command, "--asked", folder], check=True)


def make_library(source: Path, folder: Path, count: int) -> None:
    """Photos like those of a library, and as many as wanted."""
    rng = np.random.default_rng(0)
    with Library.open(source) as opened:
        ids = opened.vectors().ids()[:DRAWN_FROM]
        drawn = opened.candidates(ids.tolist())
        model = opened.model()
    assert model is not None, "the library was indexed"
    with Library.create(folder) as library, library.writing() as writer:
        writer.use_model(model)
        root, _ = writer.root_of(b"/photos")
        for start in range(0, count, STORE_AT_ONCE):
            contents, files = [], []
            for number in range(start, min(start + STORE_AT_ONCE, count)):
                one = drawn[int(rng.integers(len(drawn)))]
                embedding = one.embedding + rng.standard_normal(len(one.embedding)).astype(np.float32) * 0.02
                grid = np.frombuffer(one.grid, dtype=np.uint8).copy()
                grid[rng.integers(4, len(grid), 100)] ^= 1
                digest = b"%032d" % number
                normal = embedding / np.linalg.norm(embedding)
                contents.append(NewContent(digest, number, Metadata("JPEG", 4000, 3000), normal, grid.tobytes()))
                files.append(IndexedFile(b"/photos/%06d.jpg" % number, FileStamp(1, 1), digest))
            writer.store(root, contents, files, [])


def ask(folder: Path, candidates: int) -> None:
    """Print a row of the table."""
    runtime = PixelBertRuntime(find_checkpoint(None))
    began = time.perf_counter()
    with Library.open(folder) as library:
        library.vectors()
        opening = time.perf_counter() - began
        engine = SearchEngine(library, runtime)
        stages: dict[str, list[float]] = {}
        for text in [*QUERIES[:1], *QUERIES * ROUNDS]:  # the first warms up
            query = Query((Words(text),), candidates=candidates, rerank=True, duplicates="show")
            [vector] = timed(stages, "words", runtime.embed_texts, [text])
            _, ids = timed(stages, "FAISS", library.vectors().search, vector[np.newaxis], candidates)
            found = timed(stages, "SQLite", library.candidates, ids[0].tolist())
            grids, embeddings = [one.grid for one in found], np.stack([one.embedding for one in found])
            timed(stages, "re-rank", runtime.match, text, grids, embeddings)
            timed(stages, "all", engine.search, query)
        photos = library.status().photos
    medians = [f"{statistics.median(times[1:]):.1f}" for times in stages.values()]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size_mb = (folder / "library.db").stat().st_size / 1e6
    print(f"| {photos:,} | {' | '.join(medians)} | {peak_mb:,.0f} | {size_mb:,.0f} | {opening:.2f} |", flush=True)


def timed(stages: dict[str, list[float]], stage: str, work: Callable[..., Result], *arguments: object) -> Result:
    began = time.perf_counter()
    result = work(*arguments)
    stages.setdefault(stage, []).append(1000 * (time.perf_counter() - began))
    return result


if __name__ == "__main__":
    typer.run(main)
