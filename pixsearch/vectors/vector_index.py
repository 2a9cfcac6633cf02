"""What pixsearch asks of a vector index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorIndex(Protocol):
    """Vectors by id, found by inner product (cosine, since embeddings are L2-normalised)."""

    def __len__(self) -> int:
        """How many vectors there are."""

    def ids(self) -> Ids:
        """The ids of all vectors, in no order that means anything."""

    def parts(self) -> Iterator[tuple[Ids, Vectors]]:
        """All ids [n] with their vectors [n, size] as the index has them, some thousands at a time."""

    def remove(self, ids: Ids) -> int:
        """Remove these ids; unknown ones do not matter. Returns how many vectors went."""

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """The nearest vectors of each query [n, size], nearest first; only those `among` some ids, where given.

        Returns inner products and ids, both [n, k], or narrower where there are fewer vectors. The order of equal
        products is not guaranteed.
        Raises ValueError for a query with a value that is not finite.
        """
