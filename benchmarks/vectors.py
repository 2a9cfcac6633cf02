"""Measure how the first stage scales: compare FAISS with one list and with many lists to brute force.

    pixsearch --library L index pictures/
    python benchmarks/vectors.py --library L --data dataset.json --images pictures/

The vectors are random embeddings from the library, with Gaussian noise of length `--noise` added, and normalised again.
The queries are captions from the val split. For recall@10, a neighbour counts if its inner product is at least that of
the true tenth neighbour, within 16-bit precision. Query times are medians of single queries on one thread. Loading maps
the file into memory and verifies its checksum.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import typer

from benchmarks.measuring import print_machine
from pixsearch import Library
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.vectors import faiss_index
from pixsearch.vectors.faiss_index import FaissIndex
from pixsearch.vectors.vector_index import Vectors
from pixsearch_trainer.data.pairs import of_split
from pixsearch_trainer.data.reading import read_captioned

CANDIDATES = 32
PART = 50_000


def main(
    library: Annotated[Path, typer.Option(help="Library indexed with the built-in model.")],
    data: Annotated[Path, typer.Option(help="Captioned pictures with a val split.")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    sizes: Annotated[str, typer.Option()] = "10000,100000,1000000",
    noise: Annotated[float, typer.Option()] = 0.5,
    queries: Annotated[int, typer.Option()] = 500,
) -> None:
    faiss.omp_set_num_threads(1)
    with Library.open(library) as opened:
        pictures = np.concatenate([vectors for _, vectors in opened.vectors().parts()])
    captions = [picture.captions[0] for picture in of_split(read_captioned(data, images).pictures, "val")][:queries]
    embedded = PixelBertRuntime(find_checkpoint(None)).embed_texts(captions)
    print_machine()
    print(f"{len(pictures):,} embeddings with noise {noise}, {len(captions)} captions")
    print("| vectors | lists | recall@10 | query ms | make s | save s | load s | file MB |")
    print("|---|---|---|---|---|---|---|---|")
    for size in map(int, sizes.split(",")):
        vectors = with_noise(pictures, size, noise)
        tenth = exact_tenth(vectors, embedded)
        for limit in (size + 1, size):
            print(measured(vectors, embedded, tenth, limit), flush=True)


def with_noise(pictures: Vectors, count: int, noise: float, seed: int = 0) -> Vectors:
    """Make unit vectors [count, size] near randomly chosen embeddings of pictures."""
    rng = np.random.default_rng(seed)
    vectors = np.empty((count, pictures.shape[1]), dtype=np.float32)
    for start in range(0, count, PART):
        part = vectors[start : start + PART]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32) * (noise / np.sqrt(part.shape[1]))
        part += pictures[rng.integers(0, len(pictures), len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def exact_tenth(vectors: Vectors, queries: Vectors) -> Vectors:
    """Return the inner product of each query and its tenth nearest vector [queries, 1], using brute force."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), PART):
        best = np.sort(np.concatenate([best, queries @ vectors[start : start + PART].T], axis=1), axis=1)[:, -10:]
    return best[:, :1]


def measured(vectors: Vectors, queries: Vectors, tenth: Vectors, limit: int) -> str:
    """Return a row of the table for an index that uses many lists if it has at least `limit` vectors."""
    faiss_index.EXACT_LIMIT = limit
    began = time.perf_counter()
    rng = np.random.default_rng(0)
    index = FaissIndex.fitting(
        len(vectors), vectors.shape[1], lambda count: vectors[rng.permutation(len(vectors))[:count]]
    )
    for start in range(0, len(vectors), PART):
        part = vectors[start : start + PART]
        index.add(np.arange(start, start + len(part)), part)
    made = time.perf_counter()
    similarities, _ = index.search(queries, 10)
    recall = np.mean(similarities >= tenth - 1e-3)
    milliseconds = []
    for query in queries[:50]:
        started = time.perf_counter()
        index.search(query[np.newaxis], CANDIDATES)
        milliseconds.append((time.perf_counter() - started) * 1000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        saving = time.perf_counter()
        sha256 = index.save(path)
        saved = time.perf_counter()
        FaissIndex.load(path, sha256, read_only=True)
        loaded = time.perf_counter()
        megabytes = path.stat().st_size / 1e6
    lists = max(1, len(vectors) // faiss_index.VECTORS_PER_LIST) if limit <= len(vectors) else 1
    return (
        f"| {len(vectors):,} | {lists:,} | {recall:.4f} | {statistics.median(milliseconds):.2f} | {made - began:.1f} "
        f"| {saved - saving:.2f} | {loaded - saved:.2f} | {megabytes:,.0f} |"
    )


if __name__ == "__main__":
    typer.run(main)
