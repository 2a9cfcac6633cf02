"""An in-process vector index, which uses FAISS with 16 bits per number and one or more lists.

With one list, each search reads all vectors. This is exact, and fast even for a million vectors. A larger index is an
inverted file (Sivic and Zisserman, "Video Google", 2003). It has one list for each k-means centroid, and a search reads
only the lists whose centroids are nearest to the query. docs/performance.md has timings for both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixsearch.durable import write_durably
from pixsearch.regular_files import open_regular, path_of
from pixsearch.vectors.faiss_package import require_faiss
from pixsearch.vectors.vector_index import Ids, Vectors

require_faiss()  # its message is clearer than an import error

import faiss  # noqa: E402
from faiss.contrib.inspect_tools import get_invlist  # noqa: E402

EXACT_LIMIT = 1_000_000
"""The minimum number of vectors for which a new index has more than one list."""
VECTORS_PER_LIST = 1000
SHARE_SEARCHED = 1 / 8
"""The fraction of the lists that a search reads. For the vectors in docs/performance.md, half of that is enough."""
POINTS_PER_CENTROID = 50
"""The number of training points per centroid. FAISS warns if it is below 39."""
_PART = 10_000
_GPU_MOST = 2048
"""The maximum number of neighbours, and of lists per search, that FAISS supports on a GPU."""


class StaleIndexError(Exception):
    """An index file is missing or has changed since it was saved, so the index must be rebuilt."""


class FaissIndex:
    """A `VectorIndex` that uses FAISS. See the protocol for its methods."""

    def __init__(self, index: faiss.IndexIVFScalarQuantizer) -> None:
        """Use `empty`, `fitting` or `load` instead."""
        self._index = index
        self._gpu_copy: faiss.Index | None = None
        self._was_searched = False

    @classmethod
    def empty(cls, size: int) -> FaissIndex:
        """Return an empty index with one list, for vectors of `size` numbers."""
        return cls._around(np.zeros((1, size), dtype=np.float32))

    @classmethod
    def fitting(cls, count: int, size: int, draw: Callable[[int], Vectors]) -> FaissIndex:
        """Return an empty index for about `count` vectors of `size` numbers.

        `draw(n)` must return n randomly chosen vectors [n, size], which are used to find the centroids.
        """
        lists = _lists_for(count)
        if lists == 1:
            return cls.empty(size)
        kmeans = faiss.Kmeans(size, lists, spherical=True, seed=0, gpu=faiss.get_num_gpus() > 0)
        kmeans.train(_rows(draw(lists * POINTS_PER_CENTROID)))
        assert kmeans.centroids is not None, "it was trained"
        return cls._around(kmeans.centroids)

    @classmethod
    def _around(cls, centroids: Vectors) -> FaissIndex:
        """Return an empty index with one list for each of the centroids [lists, size]."""
        lists, size = centroids.shape
        quantizer = faiss.IndexFlatIP(size)
        quantizer.add(centroids)
        half = faiss.ScalarQuantizer.QT_fp16
        # Use the index's own ids, because an IDMap around it returns wrong ids after a removal.
        index = faiss.IndexIVFScalarQuantizer(quantizer, size, lists, half, faiss.METRIC_INNER_PRODUCT, False)
        index.is_trained = True
        index.nprobe = max(1, round(lists * SHARE_SEARCHED))
        return cls(index)

    @classmethod
    def load(cls, path: Path, sha256: str, *, read_only: bool = False, limit_bytes: int | None = None) -> FaissIndex:
        """Load the index that was saved to `path`. Raises StaleIndexError if the file does not have this checksum.

        With `read_only`, the file is mapped into memory, and vectors cannot be added or removed.
        """
        try:
            with open_regular(path, limit_bytes) as file:
                data = np.memmap(file, np.uint8, mode="r")
                # FAISS has no checksums, so it would load a file with a flipped bit or trailing garbage.
                if hashlib.sha256(data.data).hexdigest() != sha256:
                    raise StaleIndexError(f"{path} has changed since it was saved")
                if read_only:
                    index = faiss.read_index(path_of(file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
                else:
                    index = faiss.deserialize_index(data)
        except (OSError, ValueError) as error:  # ValueError: the file is empty
            raise StaleIndexError(f"{path} cannot be read: {error}") from error
        if not isinstance(index, faiss.IndexIVFScalarQuantizer):
            raise StaleIndexError(f"{path} is not the expected kind of index")
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def needs_rebuild(self) -> bool:
        """Return whether the number of vectors has halved or doubled, so the number of lists no longer suits it."""
        return not _lists_for(len(self) // 2) <= self._index.nlist <= _lists_for(len(self) * 2)

    def ids(self) -> Ids:
        return np.concatenate([self._list(number)[0] for number in range(self._index.nlist)])

    def parts(self) -> Iterator[tuple[Ids, Vectors]]:
        for number in range(self._index.nlist):
            ids, codes = self._list(number)
            for start in range(0, len(ids), _PART):
                part = slice(start, start + _PART)
                yield ids[part], self._index.sq.decode(codes[part])

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors [n, size] with new ids [n].

        Raises ValueError if an id is not new, or if a vector is zero or not finite.
        """
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise ValueError("all vectors must be finite and nonzero")
        # FAISS would store both vectors with the same id, and later remove both.
        if len(np.unique(ids)) != len(ids) or np.isin(ids, self.ids()).any():
            raise ValueError("an id is repeated or already in the index")
        self._gpu_copy = None
        self._index.add_with_ids(_rows(vectors), np.ascontiguousarray(ids, dtype=np.int64))

    def remove(self, ids: Ids) -> int:
        self._gpu_copy = None
        return int(self._index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(ids, dtype=np.int64))))

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        if not np.isfinite(queries).all():
            raise ValueError("all queries must be finite")
        k = min(k, len(self) if among is None else len(among))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if among is None:
            similarities, ids = self._fastest(k).search(_rows(queries), k)
            if (ids >= 0).all():
                return similarities, ids
        # Search every list, because the nearest ones may contain too few of the vectors.
        selector = None if among is None else faiss.IDSelectorBatch(np.ascontiguousarray(among, dtype=np.int64))
        every_list = faiss.SearchParametersIVF(nprobe=self._index.nlist, sel=selector)  # type: ignore[call-arg]
        similarities, ids = self._index.search(_rows(queries), k, params=every_list)
        found = int((ids[0] >= 0).sum())
        return similarities[:, :found], ids[:, :found]

    def _list(self, number: int) -> tuple[Ids, NDArray[np.uint8]]:
        """Return the ids [n] and codes [n, bytes] of a list."""
        ids, codes = get_invlist(self._index.invlists, number)  # type: ignore[no-untyped-call]
        return ids, codes

    def _fastest(self, k: int) -> faiss.Index:
        """Return the index to search. If it has many lists, this is a copy on a GPU from the second search on.

        For a single search, making the copy would take longer than the time saved.
        """
        again, self._was_searched = self._was_searched, True
        if not again or self._index.nlist == 1 or k > _GPU_MOST or self._index.nprobe > _GPU_MOST:
            return self._index
        if self._gpu_copy is None and faiss.get_num_gpus() > 0:
            with suppress(RuntimeError):  # it does not fit into GPU memory
                self._gpu_copy = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, self._index)
        return self._gpu_copy or self._index

    def save(self, path: Path, mode: int | None = None) -> str:
        """Save the index with `write_durably`, and return the SHA-256 of the file in hex. Raises OSError."""
        # Do not use faiss.write_index. It truncates the old file first, does not sync, and may not notice a full disk.
        data = faiss.serialize_index(self._index).data
        write_durably(path, data, mode)
        return hashlib.sha256(data).hexdigest()


def largest_file(count: int, size: int) -> int:
    """Return an upper bound on the file size, in bytes, of an index with `count` vectors of `size` numbers."""
    return 2 * count * (2 * size + 8) + (64 << 20)  # 16 bits per number and an id, and as much again for the centroids


def _lists_for(count: int) -> int:
    return 1 if count < EXACT_LIMIT else count // VECTORS_PER_LIST


def _rows(vectors: Vectors) -> Vectors:
    return np.ascontiguousarray(vectors, dtype=np.float32)
