"""The protocol of a vector index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorIndex(Protocol):
    """Vectors by id, searched by inner product (cosine similarity, since embeddings are L2-normalised)."""

    def __len__(self) -> int:
        """Return the number of vectors."""

    def ids(self) -> Ids:
        """Return the ids of all vectors, in no particular order."""

    def parts(self) -> Iterator[tuple[Ids, Vectors]]:
        """Yield all ids [n] and their vectors [n, size] with the index's precision, some thousands at a time."""

    def remove(self, ids: Ids) -> int:
        """Remove these ids, and return how many vectors were removed. Unknown ids are ignored."""

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """Find the nearest vectors of each query [n, size], nearest first; only those with ids in `among`, if given.

        Returns inner products and ids, both [n, k], or narrower if there are fewer vectors. The order of equal products
        is undefined.

        Raises ValueError if a query is not finite.
        """
