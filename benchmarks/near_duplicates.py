"""Measure the time it takes to group the near-duplicates in a large library.

    python benchmarks/near_duplicates.py --pictures album/images

The embeddings are random, but three in ten are near the previous one, as in bursts. The grids come from real pictures.
The time that `pixsearch duplicates --alike` takes to read rows and grids from the library is not included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.pictures import open_picture
from pixsearch.search.duplicates import grouped

BURSTS, APART = 0.3, 0.1
GRIDS = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=100_000)
    given = parser.parse_args()

    runtime = PixelBertRuntime(find_checkpoint(None))
    files = sorted(given.pictures.iterdir())[:GRIDS]
    _, grids = runtime.encode_pictures([open_picture(file, min_edge=runtime.input_shape.input_size) for file in files])
    embeddings = made(given.photos, runtime.embedding_size)
    compared = 0

    def likeness(one: bytes, other: bytes) -> float:
        nonlocal compared
        compared += 1
        return runtime.likeness(one, other)

    began = time.perf_counter()
    groups = grouped(range(given.photos), embeddings, lambda ids: {one: grids[one % 2] for one in ids}, likeness)
    seconds = time.perf_counter() - began
    print(f"{given.photos:,} pictures in {len(groups):,} groups, {compared:,} pairs compared: {seconds:.1f} s")


def made(count: int, size: int) -> NDArray[np.float32]:
    """Make random unit vectors [count, size], some of them near the previous one."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(count, size)).astype(np.float32)
    for index in np.flatnonzero(random.random(count) < BURSTS)[1:]:
        vectors[index] = vectors[index - 1] + APART * random.normal(size=size)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
