"""Runs a checkpoint's graphs on a CPU with OpenVINO. torch alone would take longer to import than a query takes.

Each graph is compiled when it is first used on a machine, which takes about a second. Compiled graphs are kept in the
user's cache folder under a hash of everything that they depend on, so the cache is never out of date.
"""

from __future__ import annotations

import hashlib
import io
import logging
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip
from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import fingerprint as fingerprint_of
from pixsearch.model.dual_encoder_config import (
    DUAL_ENCODER_FILE,
    DualEncoderConfig,
    command_to_convert,
    graph_files,
    sha256_of,
)
from pixsearch.model.filling import FILLING, filled_graph
from pixsearch.model.graphs import load_graphs
from pixsearch.model.number_formats import NumberFormats, cpu_flags, formats_of
from pixsearch.model.openvino_core import core
from pixsearch.regular_files import open_regular
from pixsearch.settings import compiled_folder

Bytes = NDArray[np.uint8]

_KEPT = 4
"""The number of checkpoints whose compiled graphs are kept. These take twice as much space as the checkpoint itself."""


class CompiledGraphs:
    """Runs graphs with OpenVINO and keeps them compiled in the user's cache folder. Thread-safe."""

    def __init__(
        self, folder: Path, fingerprint: str, depends_on: Sequence[str], formats: NumberFormats | None
    ) -> None:
        """Prepare to run graphs.

        Args:
            folder: the folder of the checkpoint.
            fingerprint: the fingerprint of the checkpoint.
            depends_on: everything else that the compiled graphs depend on, except for OpenVINO, the CPU and `formats`.
            formats: the number formats; None for the fastest on this CPU.
        """
        self._checkpoint, self._fingerprint = folder, fingerprint
        capabilities = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        cpu = core().get_property("CPU", "FULL_DEVICE_NAME"), *capabilities
        self._formats = formats or formats_of(capabilities, cpu_flags())
        kept_in = compiled_folder()
        key = _key(fingerprint, *depends_on, str(self._formats), openvino.__version__, *cpu)
        self._folder = None if kept_in is None else kept_in / key
        if self._folder is None:
            logging.getLogger(__name__).warning(
                "pixsearch: the model is compiled on every run because there is no cache folder (set XDG_CACHE_HOME)"
            )
        self._loading: dict[str, Future[openvino.CompiledModel]] = {}
        self._held: list[Bytes] = []
        """The buffers that OpenVINO reads weights from while a model runs. OpenVINO does not keep them alive itself."""
        self._lock = Lock()
        self._loader = ThreadPoolExecutor(2)

    def keep_nothing(self) -> None:
        """Stop using the cache folder: read no compiled graphs from it and write none to it."""
        self._folder = None

    def _graph(self, name: str) -> openvino.Model:
        """Return the graph with the given name and its weights. Raises CheckpointInvalid."""
        raise NotImplementedError

    def prepare(self, name: str, *, kept_only: bool = False) -> None:
        """Start loading a graph in the background; with `kept_only`, only if it is already compiled."""
        if not kept_only or (self._folder is not None and (self._folder / name).is_file()):
            self._begin(name, self._load_and_pack)

    def run(self, name: str, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Run a graph on these inputs and return its output. Raises CheckpointInvalid."""
        request = self._begin(name, self._load).result().create_infer_request()
        try:
            request.infer(list(inputs), share_inputs=True)
        except RuntimeError as error:  # the sizes in the config do not match the graphs and weights
            raise CheckpointInvalid(
                f"{self._checkpoint} cannot be run ({_reason(error)})", "Copy the checkpoint again, or retrain it"
            ) from error
        result: NDArray[Any] = request.get_output_tensor().data.copy()
        return result

    def _begin(self, name: str, load: Callable[[str], openvino.CompiledModel]) -> Future[openvino.CompiledModel]:
        with self._lock:
            begun = self._loading.get(name)
            if begun is None or (begun.done() and begun.exception() is not None):  # a failed load is retried
                begun = self._loading[name] = self._loader.submit(load, name)
            return begun

    def _load_and_pack(self, name: str) -> openvino.CompiledModel:
        """Load a graph and run it once on the smallest inputs, because the weights are packed on the first run."""
        model = self._load(name)
        sizes = [[1 if size.is_dynamic else size.get_length() for size in one.partial_shape] for one in model.inputs]
        kinds = [one.element_type.to_dtype() for one in model.inputs]
        model.create_infer_request().infer([np.ones(*one) for one in zip(sizes, kinds, strict=True)])
        return model

    def _load(self, name: str) -> openvino.CompiledModel:
        """Load a graph from the cache, or compile it and add it to the cache. Raises CheckpointInvalid."""
        # A compiled model does not store its properties, so they must be passed again to import it.
        properties = self._formats.properties(name)
        if self._folder is not None:
            with suppress(OSError, ValueError, RuntimeError):  # a missing or damaged graph is compiled again
                compiled = read_sealed(self._folder / name)
                model = core().import_model(openvino.Tensor(compiled, shared_memory=True), "CPU", properties)
                self._held.append(compiled)
                return model
        try:
            model = core().compile_model(self._graph(name), "CPU", properties)
        except RuntimeError as error:
            raise CheckpointInvalid(
                f"{self._checkpoint} could not be compiled ({_reason(error)})", "Please report it"
            ) from error
        if fingerprint_of(self._checkpoint) != self._fingerprint:
            raise CheckpointInvalid(f"{self._checkpoint} changed while it was being read", "Run the command again")
        with suppress(OSError, RuntimeError):  # a graph that cannot be cached is compiled again by the next command
            if self._folder is not None:
                _keep(model, self._folder, name)
        return model


class CompiledForwards(CompiledGraphs):
    """Runs the `pixsearch.model.forwards.FORWARDS` of a Pixel-BERT."""

    # Batches that fit into a core's cache: per picture, batches of 8 take two thirds as long as batches of 32.
    pictures_at_once, pairs_at_once = 8, 16

    def __init__(self, folder: Path, fingerprint: str, formats: NumberFormats | None = None) -> None:
        """Read the graphs of a checkpoint. Raises CheckpointInvalid if they are missing or out of date.

        `formats` defaults to the fastest number formats on this CPU.
        """
        self._graphs = load_graphs(folder)
        graphs = hashlib.sha256(self._graphs).hexdigest()
        super().__init__(folder, fingerprint, (graphs, str(FILLING)), formats)

    def _graph(self, name: str) -> openvino.Model:
        return filled_graph(self._graphs, name, self._checkpoint, int8=self._formats.in_int8(name))


class CompiledTowers(CompiledGraphs):
    """Runs the two towers of a dual encoder, "pictures" and "texts"."""

    pictures_at_once, texts_at_once = 8, 16

    def __init__(self, folder: Path, fingerprint: str, formats: NumberFormats | None = None) -> None:
        """Read the config of a dual encoder. Raises CheckpointInvalid.

        `formats` defaults to the fastest number formats on this CPU.
        """
        self._hashes = DualEncoderConfig.load(folder / DUAL_ENCODER_FILE).graphs
        super().__init__(folder, fingerprint, [f"{name} {one}" for name, one in sorted(self._hashes.items())], formats)

    def _graph(self, name: str) -> openvino.Model:
        again = f"Convert the model again with: {command_to_convert(self._checkpoint)}"
        graph, weights = (self._checkpoint / file for file in graph_files(name))
        try:
            for file in (graph, weights):
                if sha256_of(file) != self._hashes.get(file.name):
                    raise CheckpointInvalid(f"{file} is damaged", again)
            return core().read_model(graph, weights)
        except OSError as error:
            raise CheckpointInvalid(f"{error.filename} cannot be read ({error.strerror})", again) from error
        except RuntimeError as error:
            raise CheckpointInvalid(f"{graph} could not be read ({_reason(error)})", again) from error


def _reason(error: RuntimeError) -> str:
    """Return the last non-empty line of an OpenVINO error."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "no reason given")


def _keep(model: openvino.CompiledModel, folder: Path, name: str) -> None:
    """Write a compiled model to the cache, and keep only the newest `_KEPT` folders there.

    Raises OSError, RuntimeError.
    """
    stream = io.BytesIO()
    model.export_model(stream)
    compiled = stream.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(folder / name, compiled + hashlib.sha256(compiled).digest())
    by_age = sorted(folder.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in by_age[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def read_sealed(file: Path) -> Bytes:
    """Return the content of a file without the checksum at its end.

    Raises OSError, or ValueError if the checksum is wrong.
    """
    with open_regular(file) as opened:
        mapped = np.memmap(opened, np.uint8, mode="c")  # OpenVINO needs a writable array; writes do not reach the file
    compiled, checksum = mapped[:-32], mapped[-32:]
    if hashlib.sha256(compiled.data).digest() != checksum.tobytes():
        raise ValueError(f"{file} is damaged")
    return compiled


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
