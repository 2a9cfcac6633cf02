"""Measure the recall that the first stage loses with compressed vectors (an inverted file with product quantisation).

    pixsearch index pictures/ --library L
    python benchmarks/compressed_vectors.py --library L --data dataset.json --images pictures/ --count 10000000

Vectors and queries are made as in vectors.py, but in parts that are never all in memory at once. The recall is the
share of the true ten nearest neighbours, found by brute force, among the results from the compressed index. A real
search would compare these results again with the full vectors in the library, and re-rank them. The index is
memory-mapped. Times are medians of single queries on one thread.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import typer

from benchmarks.measuring import print_machine
from benchmarks.vectors import PART, with_noise
from pixsearch import Library
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.vectors.vector_index import Ids, Vectors
from pixsearch_trainer.data.pairs import of_split
from pixsearch_trainer.data.reading import read_captioned

POINTS_PER_CENTROID = 40
NAMED = (32, 100, 320, 1000)


def main(
    library: Annotated[Path, typer.Option(help="Library indexed with the built-in model.")],
    data: Annotated[Path, typer.Option(help="Captioned pictures with a val split.")],
    images: Annotated[Path, typer.Option(help="Folder with the pictures.")],
    count: Annotated[int, typer.Option(help="Number of vectors.")] = 10_000_000,
    lists: Annotated[int, typer.Option()] = 4096,
    searched: Annotated[int, typer.Option(help="Number of lists to read per query.")] = 64,
    bytes_a_vector: Annotated[int, typer.Option()] = 48,
    noise: Annotated[float, typer.Option()] = 0.5,
    queries: Annotated[int, typer.Option()] = 500,
) -> None:
    with Library.open(library) as opened:
        pictures = np.concatenate([vectors for _, vectors in opened.vectors().parts()])
    captions = [picture.captions[0] for picture in of_split(read_captioned(data, images).pictures, "val")][:queries]
    embedded = PixelBertRuntime(find_checkpoint(None)).embed_texts(captions)
    print_machine()
    size = pictures.shape[1]
    index = faiss.IndexIVFPQ(faiss.IndexFlatIP(size), size, lists, bytes_a_vector, 8, faiss.METRIC_INNER_PRODUCT)
    began = time.perf_counter()
    index.train(with_noise(pictures, lists * POINTS_PER_CENTROID, noise))
    trained = time.perf_counter()
    best = np.empty((len(embedded), 0), np.float32), np.empty((len(embedded), 0), np.int64)
    for start, part in parts(pictures, count, noise):
        index.add_with_ids(part, np.arange(start, start + len(part)))
        best = nearest_ten(best, embedded @ part.T, start)
    made = time.perf_counter()
    print(f"{count:,} vectors, {lists:,} lists, {bytes_a_vector} bytes: {trained - began:.0f} s to train,", end=" ")
    print(f"{made - trained:.0f} s to add (including brute force)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        faiss.write_index(index, str(path))
        del index
        print(f"{path.stat().st_size / count:.1f} bytes per vector on disk")
        search(str(path), embedded, best[1], searched)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def parts(pictures: Vectors, count: int, noise: float) -> Iterator[tuple[int, Vectors]]:
    """Yield the vectors in parts, each with the index of its first vector."""
    for start in range(0, count, PART):
        yield start, with_noise(pictures, min(PART, count - start), noise, seed=start + 1)


def nearest_ten(best: tuple[Vectors, Ids], products: Vectors, first: int) -> tuple[Vectors, Ids]:
    """Merge products [queries, vectors] into the ten largest inner products so far and their ids [queries, 10]."""
    ids = np.broadcast_to(np.arange(first, first + products.shape[1]), products.shape)
    products, ids = np.concatenate([best[0], products], axis=1), np.concatenate([best[1], ids], axis=1)
    order = np.argpartition(-products, 9, axis=1)[:, :10]
    return np.take_along_axis(products, order, 1), np.take_along_axis(ids, order, 1)


def search(path: str, queries: Vectors, nearest: Ids, searched: int) -> None:
    index = faiss.read_index(path, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    assert isinstance(index, faiss.IndexIVF)
    index.nprobe = searched
    faiss.omp_set_num_threads(1)
    _, named = index.search(queries, max(NAMED))
    for among in NAMED:
        found = np.mean([len(set(ten) & set(ids[:among])) / 10 for ten, ids in zip(nearest, named, strict=True)])
        print(f"  share of the true ten nearest among {among} results: {found:.3f}")
    milliseconds = []
    for query in queries[:100]:
        began = time.perf_counter()
        index.search(query[np.newaxis], max(NAMED))
        milliseconds.append((time.perf_counter() - began) * 1000)
    print(f"  {statistics.median(milliseconds):.1f} ms per query, {searched} lists read")


if __name__ == "__main__":
    typer.run(main)
