"""Encode photos in one process and in actors on a local Ray cluster, and compare the speed and the resulting features.

    python benchmarks/on_ray.py --pictures pictures/ [--workers 2]

A warm-up run precedes each measurement, so starting the cluster and loading the model do not count.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring import print_machine
from pixsearch import Library
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch_indexer import CheckpointEncoder, index_folders
from pixsearch_indexer.on_ray import LoadOnRay
from pixsearch_indexer.pipeline import LoadFiles, load_here


def main(
    pictures: Annotated[Path, typer.Option(help="Folder with pictures.")],
    workers: Annotated[int, typer.Option(help="Number of encoding actors.")] = 2,
) -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        cluster = LoadOnRay(workers=workers)
        ways: dict[str, LoadFiles] = {"one process": load_here, f"Ray, {workers} workers": cluster}
        kept = []
        for number, (name, load_files) in enumerate(ways.items()):
            index(Path(scratch) / f"warm {number}", pictures, load_files)
            library = Path(scratch) / str(number)
            rate = index(library, pictures, load_files)
            kept.append(features(library))
            print(f"{name}: {rate:.1f} photos/s")
        cluster.close()
    print(f"{len(kept[0])} photos, features {'equal' if kept[0] == kept[1] else 'NOT equal'} to the last bit")


def index(library: Path, pictures: Path, load_files: LoadFiles) -> float:
    """Index pictures, and return the number of photos per second."""
    encoder = CheckpointEncoder(find_checkpoint(None))
    with Library.create(library) as opened:
        began = time.perf_counter()
        report = index_folders(opened, encoder, [pictures], load_files=load_files)
        return report.encoded / (time.perf_counter() - began)


def features(library: Path) -> list[tuple[object, ...]]:
    """Read the features, sorted by path, without using pixsearch's own code."""
    connection = sqlite3.connect(library / "library.db")
    rows = connection.execute(
        "SELECT path, digest, embedding, grid FROM photos JOIN contents ON contents.id = content_id"
        " JOIN features USING (content_id) JOIN grids USING (content_id) ORDER BY path"
    ).fetchall()
    connection.close()
    return rows


if __name__ == "__main__":
    typer.run(main)
