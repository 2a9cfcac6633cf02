"""Measure how long it takes to refresh an unchanged library, compared with rclip and with `find` on the same tree.

    python benchmarks/refresh.py [--photos 100000]

The photos are small and distinct. The library contains random embeddings, which a refresh never reads, and rclip's
database contains the same photos with random vectors. rclip has no command that only refreshes, so its time is that of
a query with indexing minus that of a query without. All programs run five times in turn, each time in a new process and
with the files cached in memory. Ratios are computed from medians.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import PIXSEARCH, Row, print_machine, take
from benchmarks.peer import know, make_peer, rclip, rclip_environment
from pixsearch import Library
from pixsearch.model.checkpoints import SHIPPED
from pixsearch.model.config import InputShape
from pixsearch_indexer import CheckpointEncoder, index_folders

RUNS = 5
PHOTOS_A_FOLDER = 500


class RandomEncoder(CheckpointEncoder):
    """An encoder with the identity of the built-in checkpoint, but with random embeddings."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.input_shape = InputShape(4, 4, "squash")  # the size of the photos

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], list[bytes]]:
        vectors = np.random.default_rng().standard_normal((len(pixels), self.embedding_size)).astype(np.float32)
        lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / lengths, [b"grid"] * len(pixels)


def make_photos(folder: Path, count: int) -> None:
    for number in range(count):
        inner = number // PHOTOS_A_FOLDER
        path = folder / f"{inner // 20:03}" / f"{inner:05}" / f"IMG_{number:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number.to_bytes(3, "big")))


def png(colour: bytes) -> bytes:
    """Return a PNG of 4 x 4 pixels in one colour. Pillow would be ten times slower."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + colour * 4) * 4)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    count = parser.parse_args().photos
    make_peer()
    print_machine()
    measure(count)


def measure(count: int) -> list[Row]:
    """Print the figures for each program, and return the rows for the table."""
    with tempfile.TemporaryDirectory() as scratch:
        photos, library = Path(scratch) / "photos", Path(scratch) / "library"
        make_photos(photos, count)
        begun = time.perf_counter()
        with Library.create(library) as opened:
            index_folders(opened, RandomEncoder(SHIPPED), [photos])
        indexed_s = time.perf_counter() - begun
        bytes_a_photo = sum(file.stat().st_size for file in library.iterdir()) / count

        find: list[str | Path] = ["find", photos, "-printf", "%s %T@ %p\n"]
        refresh: list[str | Path] = [PIXSEARCH, "index", "--library", library]
        know((photo, photo.stat()) for photo in photos.rglob("*.png"))
        times = []
        for _ in range(RUNS + 1):
            ours = [take(command, watch=False).seconds for command in (find, refresh)]
            with_it, without = (
                take(rclip("a cat", index=index), photos, rclip_environment(), watch=False).seconds
                for index in (True, False)
            )
            times.append((*ours, with_it - without))
        peak_mb = take(refresh).peak_mb
    find_s, refresh_s, rclip_s = (statistics.median(column) for column in zip(*times[1:], strict=True))
    print(f"{count:,} photos: find {find_s:.2f} s, refresh {refresh_s:.2f} s, rclip's {rclip_s:.2f} s")
    print(f"refresh / find {refresh_s / find_s:.1f}, rclip / refresh {rclip_s / refresh_s:.1f}, peak {peak_mb:.0f} MB")
    print(f"first run, without a model: {count / indexed_s:.0f} photos/s")
    print(f"{bytes_a_photo:.0f} bytes per photo, without grids")
    return [
        Row(f"refresh of {count:,} unchanged files", refresh_s, "s", "find", find_s),
        Row(f"refresh of {count:,} unchanged files", refresh_s, "s", "rclip", rclip_s),
    ]


if __name__ == "__main__":
    main()
