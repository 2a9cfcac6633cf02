"""Measure the speed of indexing photos in a folder, and in object storage with a delay for each read.

    python benchmarks/object_storage.py --pictures flickr8k/images [--count 2000] [--wait-ms 100] [--each-core 1 ..]

The object storage is a moto server on the same machine, which also uses the CPU. A warm-up run, which loads the model
for the first time, is not counted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated
from unittest import mock

import typer

from benchmarks.measuring import print_machine
from pixsearch import Library, decoding
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.picture_files import is_named_like_a_picture
from pixsearch.storage import FilePath, to_path
from pixsearch_indexer import CheckpointEncoder, index_folders
from tests.object_storage import free_port, object_storage


def main(
    pictures: Annotated[Path, typer.Option(help="Folder with pictures.")],
    count: Annotated[int, typer.Option(help="Number of photos.")] = 2000,
    wait_ms: Annotated[float, typer.Option(help="Delay per read, in milliseconds.")] = 100.0,
    each_core: Annotated[
        list[int] | None, typer.Option(help="Number of reading processes per core; may be repeated.")
    ] = None,
) -> None:
    print_machine()
    with tempfile.TemporaryDirectory() as scratch, object_storage(free_port(), wait_ms / 1000) as storage:
        os.environ |= storage.environment
        here = Path(scratch) / "photos"
        here.mkdir()
        found = (file for file in sorted(pictures.rglob("*")) if is_named_like_a_picture(os.fsencode(file)))
        for number, file in enumerate(islice(found, count)):
            shutil.copy(file, here / f"{number:06}{file.suffix}")
        measure = partial(photos_a_second, Path(scratch))
        measure(here)
        print(f"a folder: {measure(here):.1f} photos/s")
        bucket = storage.new_bucket()
        bucket.put_folder(here)
        for processes in each_core or [decoding.FOR_OBJECTS]:
            with mock.patch.object(decoding, "FOR_OBJECTS", processes):
                rate = measure(to_path(bucket.url))
            print(f"a bucket, {wait_ms:.0f} ms per read, {processes} processes per core: {rate:.1f} photos/s")


def photos_a_second(scratch: Path, folder: FilePath) -> float:
    encoder = CheckpointEncoder(find_checkpoint(None))
    with Library.create(Path(tempfile.mkdtemp(dir=scratch))) as library:
        began = time.perf_counter()
        report = index_folders(library, encoder, [folder])
        return report.encoded / (time.perf_counter() - began)


if __name__ == "__main__":
    typer.run(main)
