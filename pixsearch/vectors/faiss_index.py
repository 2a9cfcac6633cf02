"""The vector index in this process: FAISS, exact, 16 bits a number.

Exact because a full scan of a million photos takes less than a tenth of a second; half precision because it halves the
memory and doubles the speed of that scan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np

from pixsearch.durable import write_durably
from pixsearch.vectors.base import Ids, Vectors

_PART = 10_000


class StaleIndexError(Exception):
    """An index file is missing or is not the one that was saved: make it again from its source."""


class FaissIndex:
    """A `VectorIndex`; what its methods promise stands there."""

    def __init__(self, index: faiss.IndexIDMap2) -> None:
        """For `empty` and `load`."""
        self._index = index

    @classmethod
    def empty(cls, size: int) -> FaissIndex:
        """An index for vectors of `size` numbers."""
        codes = faiss.IndexScalarQuantizer(size, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        return cls(faiss.IndexIDMap2(codes))

    @classmethod
    def load(cls, path: Path, sha256: str) -> FaissIndex:
        """The index that was saved to `path`. Raises StaleIndexError unless it is that one, to the last bit."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StaleIndexError(f"{path} cannot be read: {error.strerror}") from error
        # FAISS keeps no checksum: it loads a file with a flipped bit, or with rubbish behind its end, without a word.
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StaleIndexError(f"{path} is not the file that was saved")
        index = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
        assert isinstance(index, faiss.IndexIDMap2), "the checksum says that save() wrote it"
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        return faiss.vector_to_array(self._index.id_map).astype(np.int64)

    def parts(self) -> Iterator[tuple[Ids, Vectors]]:
        ids = self.ids()
        for start in range(0, len(ids), _PART):
            part = ids[start : start + _PART]
            yield part, self._index.index.reconstruct_n(start, len(part))

    def add(self, ids: Ids, vectors: Vectors) -> None:
        if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
            raise ValueError("a vector is zero or not finite")
        # FAISS would keep both, and later remove both.
        if len(np.unique(ids)) != len(ids) or np.isin(ids, self.ids()).any():
            raise ValueError("an id is there already")
        self._index.add_with_ids(_rows(vectors), np.ascontiguousarray(ids, dtype=np.int64))

    def remove(self, ids: Ids) -> int:
        return int(self._index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(ids, dtype=np.int64))))

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        if not np.isfinite(queries).all():
            raise ValueError("a query is not finite")
        k = min(k, len(self))
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        similarities, ids = self._index.search(_rows(queries), k)
        return similarities, ids

    def save(self, path: Path) -> str:
        # Not faiss.write_index: it cuts the good file first, syncs nothing and may swallow a full disk.
        data = faiss.serialize_index(self._index).data
        write_durably(path, data)
        return hashlib.sha256(data).hexdigest()


def _rows(vectors: Vectors) -> Vectors:
    return np.ascontiguousarray(vectors, dtype=np.float32)
