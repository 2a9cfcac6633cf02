"""The protocol for vector indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorIndex(Protocol):
    """Vectors by id, searched by inner product (equal to cosine similarity, as embeddings are L2-normalised)."""

    def __len__(self) -> int:
        """Return the number of vectors."""

    def ids(self) -> Ids:
        """Return the ids of all vectors, in no particular order."""

    def parts(self) -> Iterator[tuple[Ids, Vectors]]:
        """Yield all ids [n] and their vectors [n, size], at the precision of the index, in batches."""

    def remove(self, ids: Ids) -> int:
        """Remove the vectors with these ids, and return the number of removed vectors. Unknown ids are ignored."""

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """Find the `k` nearest vectors for each query [n, size], nearest first, limited to ids in `among` if given.

        Return inner products and ids, both [n, k], or with fewer columns if there are fewer vectors. The order of
        equal products is undefined.

        Raises ValueError if a query is not finite.
        """
