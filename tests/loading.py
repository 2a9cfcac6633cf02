"""Loading without worker processes, which take a fifth of a second to start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pixsearch.decoding import DecodeLimits
from pixsearch.search.runtime import Encoder
from pixsearch_indexer.decoders import Loaded, ToLoad, load


def load_in_this_process(files: Iterable[ToLoad], limits: DecodeLimits, encoder: Encoder) -> Iterator[Loaded]:
    """Load files in this process, for tests of later steps."""
    for file in files:
        yield load(file, True, encoder.input_shape, limits.megapixels)
