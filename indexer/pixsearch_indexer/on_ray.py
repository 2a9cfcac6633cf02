"""Files read, decoded and encoded on many machines, by Ray Data. The library stays with the process that indexes.

Every machine has to see the photos at the same paths (a shared drive, or object storage), and the checkpoint too where
it is not the one that ships. What was committed is not sent out again; an actor that dies is started again by Ray, and
its files with it.
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
"""Whose paths are held at a time."""

_PATIENCE_S = 10.0

Rows = dict[str, NDArray[Any]]


class LoadOnRay:
    """What reads files for `index_folders`, on a cluster; it is `ray.init`'s from the first file to `close`."""

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """`address` is the cluster's; without one it is of this machine alone, and ends with `close`.

        `workers` is how many actors encode: without a number one for each GPU, or for each CPU where there is none.
        Raises PixsearchError where there is no cluster at the address.
        """
        # What goes wrong is raised, and what is done is told by the run.
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
        """Each file, read, and encoded where it is new; in no order."""
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
                num_cpus=0.5,  # so that there is always room for what Ray itself has to do
            )
            for row in encoded.iter_rows():
                yield pickle.loads(row["loaded"])

    def close(self) -> None:
        ray.shutdown()


def _check(address: str) -> None:
    """Ray itself takes two minutes to say that nobody is there. Raises PixsearchError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
    except (OSError, ValueError) as error:
        raise PixsearchError(f"there is no Ray cluster at {address}: {error}", "As in: --address host:6379") from error


class _EncodingActor:
    """What `load_here` and the pipeline do in one process, in one of many."""

    def __init__(self, encoder: bytes, limits: DecodeLimits) -> None:
        self._encoder: Encoder = pickle.loads(encoder)
        self._until_the_end = ExitStack()
        self._pool = self._until_the_end.enter_context(loading_pool(limits))

    def __call__(self, rows: Rows) -> Rows:
        files = (pickle.loads(file) for file in rows["file"])
        loaded = list(load_ahead(self._pool, files, self._encoder.input_shape))
        return {"loaded": np.array([pickle.dumps(one) for one in encode(self._encoder, loaded)], dtype=object)}


def encode(encoder: Encoder, loaded: Iterable[Loaded]) -> list[Loaded]:
    """Files with their pictures encoded, instead of decoded."""
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
