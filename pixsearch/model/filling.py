"""Fills a checkpoint's graphs with its weights, so that OpenVINO can compile them."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip
from openvino import opset13 as ops  # isort: skip
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import INT8, SCALE, weights_of
from pixsearch.model.graphs import GRAPHS_FILE, GRAPHS_LIMIT_BYTES, command_to_add, is_input
from pixsearch.model.openvino_core import core
from pixsearch.regular_files import read_member

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILLING = 1
"""The version of this module's output. Increase it after a change to invalidate models that are already compiled."""


def filled_graph(graphs: bytes, name: str, folder: Path, *, int8: bool = False) -> openvino.Model:
    """Return the graph for a forward pass, filled with the weights of a checkpoint.

    Args:
        graphs: the content of graphs.zip; see `load_graphs`.
        name: the name of the forward pass.
        folder: the folder of the checkpoint.
        int8: True to round weight matrices to int8, with a scale per row.

    Raises:
        CheckpointInvalid: the graph is damaged, or the weights do not match the config.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(graphs)) as archive:
            parts = (read_member(archive, f"{name}.{part}", GRAPHS_LIMIT_BYTES) for part in ("xml", "bin"))
            graph = core().read_model(*parts)
    except (KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointInvalid(
            f"{folder / GRAPHS_FILE} is damaged", f"Rebuild it with: {command_to_add(folder)}"
        ) from error
    _fill(graph, folder)
    if int8:
        _round_matrices(graph)
    return graph


def _fill(graph: openvino.Model, folder: Path) -> None:
    """Replace the inputs that are named after weights with the weights themselves. Raises CheckpointInvalid."""
    from safetensors import safe_open

    with weights_of(folder) as file, safe_open(file, "np") as weights:
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
                raise ValueError(f"unexpected shape for {name}: {value.get_output_shape(0)}")
            for reader in parameter.output(0).get_target_inputs():
                reader.replace_source_output(value.output(0))
            graph.remove_parameter(parameter)
        graph.validate_nodes_and_infer_types()


def _round_matrices(graph: openvino.Model) -> None:
    for product in graph.get_ops():
        if product.get_type_name() != "MatMul" or not product.get_attributes()["transpose_b"]:
            continue
        matrix = product.input_value(1).get_node()
        kept = matrix.input_value(0).get_node() if matrix.get_type_name() == "Convert" else matrix
        if kept.get_type_name() == "Constant":
            values = kept.get_data().astype(np.float32)  # [outputs, inputs]
            scale = np.maximum(np.abs(values).max(1, keepdims=True), np.finfo(np.float32).tiny) / 127
            rounded = ops.convert(ops.constant(np.rint(values / scale).astype(np.int8)), "f32")
            product.input(1).replace_source_output(ops.multiply(rounded, ops.constant(scale)).output(0))
    graph.validate_nodes_and_infer_types()


def _constant(values: NDArray[np.generic]) -> openvino.Node:
    """Return a constant that is read as fp32 but stored in the format of its values."""
    constant = ops.constant(values)
    if values.dtype == "float32":
        return constant
    as_fp32 = ops.convert(constant, "f32")
    as_fp32.get_rt_info()["decompression_0"] = ""  # otherwise OpenVINO would store fp16 as fp32, in twice the space
    return as_fp32
