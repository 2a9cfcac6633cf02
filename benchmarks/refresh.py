"""What it costs to refresh a library in which nothing changed, against `find` on the same tree, side by side.

    python benchmarks/refresh.py [--photos 100000]

The photos are small and each is another one; the library is made with random embeddings, which a refresh never reads.
Both programs run five times in turn, from a cold process and with a warm disk; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixsearch import Library
from pixsearch.model.checkpoints import SHIPPED
from pixsearch_indexer import CheckpointEncoder, index_folders

RUNS = 5
PHOTOS_A_FOLDER = 500
TELL_PEAK = """
import re, sys
from pixsearch_cli.main import main
sys.argv = ["pixsearch", "index", "--library", sys.argv[1]]
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


class RandomEncoder(CheckpointEncoder):
    """Called like the checkpoint that ships, and much faster."""

    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[NDArray[np.float32], list[bytes]]:
        vectors = np.random.default_rng().standard_normal((len(pictures), self.embedding_size)).astype(np.float32)
        lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / lengths, [b"grid"] * len(pictures)


def make_photos(folder: Path, count: int) -> None:
    for number in range(count):
        inner = number // PHOTOS_A_FOLDER
        path = folder / f"{inner // 20:03}" / f"{inner:05}" / f"IMG_{number:07}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number.to_bytes(3, "big")))


def png(colour: bytes) -> bytes:
    """4 x 4 pixels in one colour. Pillow would take ten times as long."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + colour * 4) * 4)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def seconds(command: Sequence[str | Path]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def peak_mb(library: Path) -> float:
    """Of a refresh, by the kernel (VmHWM). Not getrusage, in which a child begins with the memory of its parent."""
    finished = subprocess.run([sys.executable, "-c", TELL_PEAK, library], capture_output=True, text=True, check=True)
    return float(finished.stderr) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=100_000)
    count = parser.parse_args().photos
    with tempfile.TemporaryDirectory() as scratch:
        photos, library = Path(scratch) / "photos", Path(scratch) / "library"
        make_photos(photos, count)
        begun = time.perf_counter()
        with Library.create(library) as opened:
            index_folders(opened, RandomEncoder(SHIPPED), [photos])
        indexed_s = time.perf_counter() - begun
        bytes_a_photo = sum(file.stat().st_size for file in library.iterdir()) / count

        find: list[str | Path] = ["find", photos, "-printf", "%s %T@ %p\n"]
        refresh: list[str | Path] = [Path(sys.executable).with_name("pixsearch"), "index", "--library", library]
        seconds(find), seconds(refresh)
        times = [(seconds(find), seconds(refresh)) for _ in range(RUNS)]
        peak = peak_mb(library)
    find_s, refresh_s = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"photos {count:,}, {platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"find {find_s:.2f} s, refresh {refresh_s:.2f} s, ratio {refresh_s / find_s:.1f}, peak {peak:.0f} MB")
    print(f"first run, without a model: {count / indexed_s:.0f} photos/s")
    print(f"{bytes_a_photo:.0f} bytes a photo, without grids")


if __name__ == "__main__":
    main()
