"""Measure the time of a query: cold, compared with rclip, and warm, by stage.

    python benchmarks/latency.py --pictures pictures/ [--photos 10000 --photos 100000]

The library contains the embeddings and pixel grids of the pictures, repeated with noise. rclip's database contains the
same number of random vectors, and rclip does not check for new photos. Cold times are from the start of the process to
its end, with the files cached in memory, and the two programs take turns. The other figures are medians over twenty
consecutive queries in one process. The memory is that of the process, including the model.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
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

from benchmarks.measuring import PIXSEARCH, Row, Taken, median, print_machine, take
from benchmarks.peer import know, make_peer, rclip, rclip_environment
from pixsearch import Library, Query, SearchEngine, Words
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.search.cascade import ordered_by_late
from pixsearch.search.query import DEFAULT_CANDIDATES
from pixsearch.storage import FileStamp

QUERIES = [
    "a dog in the snow",
    "two children on a beach",
    "a red car",
    "mountains at sunset",
    "people eating at a table",
]
ROUNDS = 4
COLD_ROUNDS = 7
PHOTOS = "photos"
DRAWN_FROM = 2000
STORE_AT_ONCE = 500
READ_JOINTLY = 32
JOINT_ALONE = f"all, the {READ_JOINTLY} most similar read jointly"
NOT_STAGES = ("opening s", "peak MB", "library.db MB")

Result = TypeVar("Result")


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to make the library from.")],
    photos: Annotated[list[int] | None, typer.Option(help="Number of photos; may be repeated.")] = None,
    candidates: Annotated[
        int, typer.Option(help="Number of candidates that the joint stream reads.")
    ] = DEFAULT_CANDIDATES,
    warm: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    if warm is not None:
        measure_warm(warm, candidates)
        return
    make_peer()
    print_machine()
    measure(pictures, photos or [1000, 10_000, 100_000], candidates)


def measure(pictures: Path, photos: list[int], candidates: int = DEFAULT_CANDIDATES) -> list[Row]:
    """Print the time of a query in libraries of the given sizes, and return the rows for the table."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "library"
        take([PIXSEARCH, "index", pictures, "--library", source])
        for count in photos:
            folder = Path(scratch) / str(count)
            make_library(source, folder, count)
            print(f"{count:,} photos")
            rows.append(measure_cold(folder, count, candidates))
            # This runs in a separate process to measure only the memory that queries use.
            command = [sys.executable, __file__, "--pictures", str(pictures), "--candidates", str(candidates)]
            printed = subprocess.run([*command, "--warm", folder], check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append(print_warm(count, json.loads(printed)))
            shutil.rmtree(folder)
    return rows


def make_library(
    source: Path, folder: Path, count: int, made_up: Callable[[int], tuple[str, Metadata]] | None = None
) -> None:
    """Make a library of photos that resemble those in another library.

    Args:
        source: the other library.
        folder: the location of the new library.
        count: the number of photos.
        made_up: takes the number of a photo and returns its path and metadata.
    """
    rng = np.random.default_rng(0)
    with Library.open(source) as opened:
        ids = opened.vectors().ids()[:DRAWN_FROM]
        drawn, grids = opened.candidates(ids.tolist()), opened.grids(ids.tolist())
        model = opened.model()
    assert model is not None, "the library was indexed"
    with Library.create(folder) as library, library.writing() as writer:
        writer.use_model(model)
        root, _ = writer.root_of(os.fsencode(folder / PHOTOS))
        for start in range(0, count, STORE_AT_ONCE):
            contents, files = [], []
            for number in range(start, min(start + STORE_AT_ONCE, count)):
                one = drawn[int(rng.integers(len(drawn)))]
                embedding = one.embedding + rng.standard_normal(len(one.embedding)).astype(np.float32) * 0.02
                grid = np.frombuffer(grids[one.content_id], dtype=np.uint8).copy()
                grid[-rng.integers(1, min(5000, len(grid)), 100)] ^= 1  # the cell values are at the end
                digest = b"%032d" % number
                normal = embedding / np.linalg.norm(embedding)
                path, metadata = photo(folder, number), Metadata("JPEG", 4000, 3000)
                if made_up is not None:
                    name, metadata = made_up(number)
                    path = folder / PHOTOS / name
                contents.append(NewContent(digest, number, metadata, normal, grid.tobytes()))
                files.append(IndexedFile(os.fsencode(path), FileStamp(1, 1), digest))
            writer.store(root, contents, files, [])


def photo(folder: Path, number: int) -> Path:
    return folder / PHOTOS / f"{number:06}.jpg"


def measure_cold(folder: Path, count: int, candidates: int) -> Row:
    """Print the time of a query in each program, including the start of its process."""
    (folder / PHOTOS).mkdir()
    know((photo(folder, number), None) for number in range(count))
    ours: list[str | Path] = [PIXSEARCH, "query", "--library", folder, "--candidates", str(candidates), QUERIES[0]]
    commands = {"pixsearch": (ours, None), "rclip": (rclip(QUERIES[0], index=False), rclip_environment())}
    takens: dict[str, list[Taken]] = {}
    peaks: dict[str, float] = {}
    for number in range(COLD_ROUNDS + 1):
        for program, (command, environment) in commands.items():
            taken = take(command, folder / PHOTOS, environment, watch=number == 0)
            if number == 0:  # this round also warms the disk cache
                peaks[program] = taken.peak_mb
            else:
                takens.setdefault(program, []).append(taken)
    seconds = {program: median(taken).seconds for program, taken in takens.items()}
    for program in commands:
        print(f"  {program:9} cold {seconds[program]:.2f} s, peak {peaks[program]:,.0f} MB")
    print(f"  pixsearch / rclip {seconds['pixsearch'] / seconds['rclip']:.2f}")
    return Row(f"cold query, {count:,} photos", seconds["pixsearch"], "s", "rclip", seconds["rclip"])


def print_warm(count: int, figures: dict[str, float]) -> Row:
    """Print the time of a query in a running process, by stage."""
    stages = ", ".join(f"{name} {value:.1f}" for name, value in figures.items() if name not in NOT_STAGES)
    print(f"  warm, in ms: {stages}")
    opening_s, peak_mb, size_mb = (figures[name] for name in NOT_STAGES)
    print(f"  opened in {opening_s:.2f} s, peak {peak_mb:,.0f} MB, library.db {size_mb:,.0f} MB", flush=True)
    reference = f"the joint stream on the {READ_JOINTLY} most similar"
    return Row(f"warm query, {count:,} photos", figures["all"], "ms", reference, figures[JOINT_ALONE])


def measure_warm(folder: Path, candidates: int) -> None:
    """Print the median milliseconds per stage, the time to open the library, and the memory and file sizes as JSON."""
    runtime = PixelBertRuntime(find_checkpoint(None))
    began = time.perf_counter()
    with Library.open(folder) as library:
        library.vectors()
        opening = time.perf_counter() - began
        engine = SearchEngine(library, runtime)
        stages: dict[str, list[float]] = {}
        for text in [*QUERIES[:1], *QUERIES * ROUNDS]:  # the first query is a warm-up
            query = Query((Words(text),), candidates=candidates, rerank=True, duplicates="show")
            texts = timed(stages, "words", runtime.read_texts, [text])
            vector, ordered = texts[0].embedding[np.newaxis], ordered_by_late(candidates, 10)
            _, ids = timed(stages, "FAISS", library.vectors().search, vector, ordered)
            found = timed(stages, "SQLite", library.candidates, ids[0].tolist())
            grids = timed(stages, "grids", library.grids, ids[0].tolist())
            embeddings = np.stack([one.embedding for one in found])
            packed = [grids[one.content_id] for one in found]
            [late] = timed(stages, "late interaction", runtime.late_scores, texts, packed, embeddings)
            chosen = np.argsort(-late)[:candidates]
            timed(stages, "joint stream", runtime.match, texts, [packed[one] for one in chosen], late[chosen])
            timed(stages, "all", engine.search, query)
            timed(stages, JOINT_ALONE, read_jointly, library, runtime, text)
    figures = {stage: statistics.median(times[1:]) for stage, times in stages.items()}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size_mb = (folder / "library.db").stat().st_size / 1e6
    print(json.dumps(figures | dict(zip(NOT_STAGES, (opening, peak_mb, size_mb), strict=True))))


def read_jointly(library: Library, runtime: PixelBertRuntime, text: str) -> None:
    """Run a query without a cascade: the joint stream reads the most similar photos."""
    texts = runtime.read_texts([text])
    _, ids = library.vectors().search(texts[0].embedding[np.newaxis], READ_JOINTLY)
    found, grids = library.candidates(ids[0].tolist()), library.grids(ids[0].tolist())
    packed = [grids[one.content_id] for one in found]
    [late] = runtime.late_scores(texts, packed, np.stack([one.embedding for one in found]))
    runtime.match(texts, packed, late)


def timed(stages: dict[str, list[float]], stage: str, work: Callable[..., Result], *arguments: object) -> Result:
    began = time.perf_counter()
    result = work(*arguments)
    stages.setdefault(stage, []).append(1000 * (time.perf_counter() - began))
    return result


if __name__ == "__main__":
    typer.run(main)
