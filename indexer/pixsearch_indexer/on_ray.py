"""Read, decode and encode files on many machines with Ray Data. Only the indexing process opens the library.

Every machine must have access to the photos at the same paths (on a shared drive or in object storage), and also to the
checkpoint unless it is the built-in one. If an actor dies, Ray restarts it and sends its files again, but never files
that were already committed.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray
from ray import cloudpickle

from pixsearch.database.database import in_chunks
from pixsearch.decoding import DecodeLimits
from pixsearch.errors import PixsearchError
from pixsearch.library.records import FailedFile
from pixsearch.search.runtime import Encoder
from pixsearch_indexer.decoders import Loaded, ToLoad, load_ahead, loading_pool
from pixsearch_indexer.encoder import NO_EMBEDDING, encode_pictures
from pixsearch_indexer.load import LoadedFile

FILES_A_BATCH = 32
FILES_A_DATASET = 50_000
"""The number of files whose paths are held in memory at a time."""

_CONNECT_TIMEOUT_S = 10.0

Rows = dict[str, NDArray[Any]]


class LoadOnRay:
    """A callable that reads files for `index_folders` on a Ray cluster. It stays connected until `close`."""

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """Connect to a cluster. Raises PixsearchError if there is no cluster at the address.

        Args:
            address: the address of the cluster; None starts a cluster on this machine only, which `close` shuts down.
            workers: the number of actors that encode; None means one per GPU, or one per CPU if the cluster has no GPU.
        """
        # Ray itself prints nothing: errors are raised, and the run reports its own progress.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        warnings.filterwarnings("ignore", module=r"ray\.")
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        if address is not None:
            _check(address)
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self._gpus = 1 if resources.get("GPU") else 0
        self._workers = workers or int(resources["GPU" if self._gpus else "CPU"])

    def __call__(self, files: Iterable[ToLoad], limits: DecodeLimits, encoder: Encoder) -> Iterator[Loaded]:
        """Yield the files in no particular order, each once it has been read and, if it is new, encoded."""
        for chunk in in_chunks(files, FILES_A_DATASET):
            dataset = ray.data.from_items(
                [{"file": pickle.dumps(file)} for file in chunk],
                override_num_blocks=max(1, len(chunk) // FILES_A_BATCH),
            )
            encoded = dataset.map_batches(
                _EncodingActor,
                fn_constructor_args=(cloudpickle.dumps(encoder), limits),  # type: ignore[no-untyped-call]
                batch_size=FILES_A_BATCH,
                compute=ray.data.ActorPoolStrategy(size=self._workers),
                num_gpus=self._gpus,
                num_cpus=0.5,  # so that Ray's own tasks always find a free CPU
            )
            for row in encoded.iter_rows():
                yield pickle.loads(row["loaded"])

    def close(self) -> None:
        ray.shutdown()


def _check(address: str) -> None:
    """Raise PixsearchError if nothing is listening at an address. Ray itself would take two minutes to notice."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        raise PixsearchError(f"no Ray cluster at {address}: {error}", "Use --address HOST:PORT") from error


class _EncodingActor:
    """An actor that loads and encodes batches of files, as `load_here` and the pipeline do on a single machine."""

    def __init__(self, encoder: bytes, limits: DecodeLimits) -> None:
        self._encoder: Encoder = pickle.loads(encoder)
        self._resources = ExitStack()
        self._pool = self._resources.enter_context(loading_pool(limits))

    def __call__(self, rows: Rows) -> Rows:
        files = (pickle.loads(file) for file in rows["file"])
        loaded = list(load_ahead(self._pool, files, self._encoder.input_shape))
        return {"loaded": np.array([pickle.dumps(one) for one in encode(self._encoder, loaded)], dtype=object)}


def encode(encoder: Encoder, loaded: Iterable[Loaded]) -> list[Loaded]:
    """Replace each file's decoded picture with its encoded content."""
    loaded = list(loaded)
    contents = encode_pictures(
        encoder, {one.digest: one.decoded for one in loaded if isinstance(one, LoadedFile) and one.decoded is not None}
    )
    done: list[Loaded] = []
    for one in loaded:
        if not isinstance(one, LoadedFile) or one.decoded is None:
            done.append(one)
        elif (content := contents[one.digest]) is None:
            done.append(FailedFile(one.path, one.stamp, NO_EMBEDDING))
        else:
            done.append(replace(one, decoded=None, content=content))
    return done
