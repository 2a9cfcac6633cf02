"""The forwards of a checkpoint on a CPU, by OpenVINO: no torch, which takes longer to import than a query to answer.

They are compiled when they are first asked for on a machine, and kept in the user's cache folder under all that they
depend on, so that nothing there is ever out of date.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
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
from pixsearch.errors import CheckpointInvalid, Interrupted
from pixsearch.model.runtime import IN_FULL_PRECISION
from pixsearch.settings import compiled_folder

Bytes = NDArray[np.uint8]

_TOGETHER = ("encode_pictures", "embed_pictures", "read_texts", "map_pixels", "match")
"""What is compiled together: a run over photos also makes ready what the first query needs."""
_COMPILER = "pixsearch.model.compiling"
INVALID = 3
"""The exit code of that program where the checkpoint is not what it should be; then its stdout says why."""
_KEPT = 4
"""Checkpoints whose forwards are kept; those of one take three times its space."""


class CompiledForwards:
    """Runs `pixsearch.model.forwards.FORWARDS` of a checkpoint by OpenVINO. Threads may run them together."""

    pictures_at_once, pairs_at_once = 8, 16  # what a core's cache holds: 8 pictures take two thirds of the time of 32

    def __init__(self, folder: Path, fingerprint: str, number_format: str | None = None) -> None:
        """`number_format` is f32 or bf16; None takes bf16 where the CPU multiplies it natively."""
        self._checkpoint = folder
        self._core = openvino.Core()
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        # fp16, which ARM is faster in, is not taken: no such machine was at hand to compare its results on.
        self._number_format = number_format or ("bf16" if "BF16" in capabilities else "f32")
        cpu = self._core.get_property("CPU", "FULL_DEVICE_NAME"), *capabilities
        key = _key(fingerprint, _code(), openvino.__version__, self._number_format, *cpu)
        kept_in = compiled_folder()
        self._folder = None if kept_in is None else kept_in / key
        self._loading: dict[str, Future[openvino.CompiledModel]] = {}
        self._held: list[Bytes] = []
        """What OpenVINO reads weights from as long as it runs a model, and does not hold itself."""
        self._lock = Lock()
        self._loader = ThreadPoolExecutor(2)
        self._compiled: dict[str, Bytes] = {}
        self._compiling = Lock()

    def prepare(self, name: str) -> None:
        """Begin to load a forward, if it was compiled before, while the caller does something else."""
        if self._folder is not None and (self._folder / name).is_file():
            self._begin(name, self._load_and_pack)

    def run(self, name: str, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Raises CheckpointInvalid; Interrupted while it is compiled."""
        request = self._begin(name, self._load).result().create_infer_request()
        request.infer(list(inputs), share_inputs=True)
        result: NDArray[Any] = request.get_output_tensor().data.copy()
        return result

    def _begin(self, name: str, load: Callable[[str], openvino.CompiledModel]) -> Future[openvino.CompiledModel]:
        with self._lock:
            if name not in self._loading:
                self._loading[name] = self._loader.submit(load, name)
            return self._loading[name]

    def _load_and_pack(self, name: str) -> openvino.CompiledModel:
        """Weights are packed as the CPU multiplies them when a model first runs: here with ones, as small as may be."""
        model = self._load(name)
        sizes = [[1 if size.is_dynamic else size.get_length() for size in one.partial_shape] for one in model.inputs]
        kinds = [one.element_type.to_dtype() for one in model.inputs]
        model.create_infer_request().infer([np.ones(*one) for one in zip(sizes, kinds, strict=True)])
        return model

    def _load(self, name: str) -> openvino.CompiledModel:
        """Raises CheckpointInvalid."""
        if self._folder is not None:
            with suppress(OSError, ValueError, RuntimeError):  # what is not there, or damaged, is compiled again
                return self._import(name, read_sealed(self._folder / name))
        with self._compiling:
            if name not in self._compiled:
                self._compiled |= self._compile(_TOGETHER if name in _TOGETHER else [name])
        return self._import(name, self._compiled[name])

    def _import(self, name: str, compiled: Bytes) -> openvino.CompiledModel:
        """Raises ValueError or RuntimeError for bytes that OpenVINO cannot read."""
        self._held.append(compiled)
        # The number format has to be said again: it is not kept with what was compiled in it.
        properties = properties_of(name, self._number_format)
        return self._core.import_model(openvino.Tensor(compiled, shared_memory=True), "CPU", properties)

    def _compile(self, names: Sequence[str]) -> dict[str, Bytes]:
        """Raises CheckpointInvalid; Interrupted by a Ctrl-C, which that process hears as well."""
        how_often = "once" if self._folder is not None else "each time, for want of a cache folder (set XDG_CACHE_HOME)"
        logging.getLogger(__name__).warning(
            "pixsearch: making the model ready for this machine, %s: some seconds", how_often
        )
        with tempfile.TemporaryDirectory() as made:
            finished = subprocess.run(
                [sys.executable, "-m", _COMPILER, self._checkpoint, self._number_format, made, *names],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if finished.returncode == INVALID:
                raise CheckpointInvalid(*json.loads(finished.stdout))
            if finished.returncode == -signal.SIGINT:
                raise Interrupted("stopped while the model was made ready for this machine", "Run it again")
            if finished.returncode != 0:
                reason = (finished.stderr.splitlines() or ["it was stopped"])[-1]
                raise CheckpointInvalid(f"{self._checkpoint} could not be compiled ({reason})", "Please report it")
            with suppress(OSError):  # a folder that cannot be written to: the next command compiles again
                if self._folder is not None:
                    self._keep(Path(made), self._folder)
            return {name: read_sealed(Path(made) / name) for name in names}

    def _keep(self, made: Path, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in made.iterdir():
            with tempfile.TemporaryDirectory(dir=folder) as own:  # other processes may be at the same
                whole = Path(own) / file.name
                write_durably(whole, file.read_bytes())
                whole.replace(folder / file.name)
        by_age = sorted(folder.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for old in by_age[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def properties_of(name: str, number_format: str) -> dict[str, str]:
    """What OpenVINO is told of a forward."""
    return {"INFERENCE_PRECISION_HINT": "f32" if name in IN_FULL_PRECISION else number_format}


def read_sealed(file: Path) -> Bytes:
    """What was kept in a file, without its checksum. Raises OSError; ValueError where the two do not agree."""
    mapped = np.memmap(file, np.uint8, mode="c")  # OpenVINO takes none that is read-only; the file stays as it is
    compiled, checksum = mapped[:-32], mapped[-32:]
    if hashlib.sha256(compiled.data).digest() != checksum.tobytes():
        raise ValueError(f"{file} is damaged")
    return compiled


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _code() -> str:
    """A hash of what says how a checkpoint's weights are computed with."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
