"""The graphs of a checkpoint's forwards: what a CPU runs, without weights, in graphs.zip beside them.

For each forward of `pixsearch.model.forwards.FORWARDS` there is a graph in OpenVINO's format. Its inputs are those of
the forward and, after them, each tensor of model.safetensors that it computes with, under the tensor's name; those are
filled in when it is read. So weights are on disk once, and no user's machine traces anything.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip
from openvino import opset13 as ops  # isort: skip
from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import CONFIG_FILE, INT8, SCALE, WEIGHTS_FILE, only_whole_weights
from pixsearch.model.config import PixelBertConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRAPHS_FILE = "graphs.zip"
VERSION = 1
"""Rises when a forward takes or gives something else than before: older graphs are then traced again."""
_ABOUT = "about.json"
_WHEN = 1980, 1, 1, 0, 0, 0
"""The date of every member, so that equal graphs make equal files."""


def write_graphs(folder: Path, graphs: Mapping[str, tuple[bytes, bytes]], config: PixelBertConfig) -> None:
    """Write graphs.zip of a checkpoint's folder.

    Args:
        graphs: for each forward OpenVINO's two files, the graph (XML) and its own small constants.
        config: the one whose network was traced.
    """
    members = {_ABOUT: json.dumps(_about(config)).encode()}
    for name, (topology, constants) in graphs.items():
        members |= {f"{name}.xml": topology, f"{name}.bin": constants}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _WHEN), content, zipfile.ZIP_DEFLATED, 9)
    write_durably(folder / GRAPHS_FILE, file.getvalue())


def fitting_graphs(folder: Path, config: PixelBertConfig) -> bytes | None:
    """Return graphs.zip of a folder, where it was made for such a config by this version of pixsearch."""
    try:
        content = (folder / GRAPHS_FILE).read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content if json.loads(archive.read(_ABOUT)) == _about(config) else None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def load_graphs(folder: Path) -> bytes:
    """Return graphs.zip of a checkpoint. Raises CheckpointInvalid where it has none that fits."""
    content = fitting_graphs(folder, PixelBertConfig.load(folder / CONFIG_FILE))
    if content is None:
        raise CheckpointInvalid(
            f"{folder} has no graphs for a CPU that fit its config and this version of pixsearch",
            f"Add them with pixsearch add-graphs {folder}, which needs pixsearch[train]",
        )
    return content


def filled_graph(graphs: bytes, name: str, folder: Path) -> openvino.Model:
    """Return the graph of a forward with the weights of a checkpoint.

    Args:
        graphs: see `load_graphs`.
        folder: the checkpoint's.

    Raises:
        CheckpointInvalid: the graph is damaged, or the weights are not those of the config.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(graphs)) as archive:
            graph = openvino.Core().read_model(archive.read(f"{name}.xml"), archive.read(f"{name}.bin"))
    except (KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointInvalid(
            f"{folder / GRAPHS_FILE} is damaged", f"Make it again with pixsearch add-graphs {folder}"
        ) from error
    _fill(graph, folder)
    return graph


def _fill(graph: openvino.Model, folder: Path) -> None:
    """Put the weights in the place of the inputs that are named after them. Raises CheckpointInvalid."""
    from safetensors import safe_open

    with only_whole_weights(folder), safe_open(folder / WEIGHTS_FILE, "np") as weights:
        stored = frozenset(weights.keys())
        for parameter in graph.get_parameters():
            name = parameter.get_friendly_name()
            if is_input(name):
                continue
            if name + INT8 in stored:
                scale = ops.constant(weights.get_tensor(name + SCALE))
                value = ops.multiply(_constant(weights.get_tensor(name + INT8)), scale)
            else:
                value = _constant(weights.get_tensor(name))
            if parameter.get_partial_shape() != value.get_output_partial_shape(0):
                raise ValueError(f"{name} has the shape {value.get_output_shape(0)}")
            for reader in parameter.output(0).get_target_inputs():
                reader.replace_source_output(value.output(0))
            graph.remove_parameter(parameter)
        graph.validate_nodes_and_infer_types()


def _constant(values: NDArray[np.generic]) -> openvino.Node:
    """A constant that is fp32 to what reads it, and kept as it is."""
    constant = ops.constant(values)
    if values.dtype == "float32":
        return constant
    as_fp32 = ops.convert(constant, "f32")
    as_fp32.get_rt_info()["decompression_0"] = ""  # or OpenVINO would keep fp16 as fp32, in twice the space
    return as_fp32


def input_name(number: int) -> str:
    """Return the name of a forward's own input."""
    return f"input {number}"


def is_input(name: str) -> bool:
    """Return whether that is the name of a forward's own input."""
    return name.startswith("input ")


def _about(config: PixelBertConfig) -> dict[str, Any]:
    """What a graph depends on beside the code of the forwards."""
    values = {name: value for name, value in asdict(config).items() if name not in _WITHOUT_EFFECT}
    return {"version": VERSION, "config": json.loads(json.dumps(values))}


_WITHOUT_EFFECT = ("calibration", "rerank", "dropout", "max_words")
"""Fields of a config that change no forward."""
