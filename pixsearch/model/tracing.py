"""Traces the forward passes of a checkpoint to create its graphs. Requires torch. Searches never run this code."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip
from openvino.tools.ovc import convert_model  # isort: skip
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.forwards import FORWARDS, Forward
from pixsearch.model.graphs import input_name, write_graphs

_NETWORK = "network."
"""The prefix of the names of the network's tensors in the state of a forward pass."""


def add_graphs(folder: Path) -> None:
    """Trace the forward passes of a checkpoint and write its graphs.zip. Raises CheckpointInvalid."""
    network, _ = load_checkpoint(folder)
    graphs = {name: trace(forward(network).eval()) for name, forward in FORWARDS.items()}
    write_graphs(folder, graphs, network.config)


def trace(forward: Forward) -> tuple[bytes, bytes]:
    """Trace a forward pass with its weights as inputs.

    Returns:
        The two OpenVINO files: the graph as XML, whose inputs are named, and its own small constants.
    """
    forward, own = copy.deepcopy(forward), forward.example()
    state = {name: tensor.detach() for name, tensor in forward.state_dict().items()}

    def run(*tensors: Tensor) -> Tensor:
        for name, tensor in zip(state, tensors[len(own) :], strict=True):
            path, _, leaf = name.rpartition(".")  # torch.func.functional_call cannot be traced
            module = forward.get_submodule(path)
            (module._parameters if leaf in module._parameters else module._buffers)[leaf] = tensor  # type: ignore[assignment]
        result: Tensor = forward(*tensors[: len(own)])
        return result

    with torch.no_grad(), warnings.catch_warnings():
        # torch.jit warns that it is deprecated. Its successor, torch.export, cannot pair one sentence with many
        # pictures and many sentences with one picture in the same graph.
        warnings.simplefilter("ignore")
        inputs = list(torch.jit.trace(run, (*own, *state.values()), check_trace=False).graph.inputs())
        used = [bool(value.uses()) for value in inputs[len(own) :]]
        state = {name: tensor for (name, tensor), needed in zip(state.items(), used, strict=True) if needed}
        sizes = [*forward.sizes(), *(tensor.shape for tensor in state.values())]
        graph = convert_model(
            torch.jit.trace(run, (*own, *state.values()), check_trace=False),
            example_input=(*own, *state.values()),
            input=[openvino.PartialShape(list(size)) for size in sizes],
        )
    names = [*map(input_name, range(len(own))), *(name.removeprefix(_NETWORK) for name in state)]
    for parameter, name in zip(graph.get_parameters(), names, strict=True):
        parameter.set_friendly_name(name)
        parameter.output(0).get_tensor().set_names({name})
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "graph.xml"
        openvino.save_model(graph, file, compress_to_fp16=False)
        return file.read_bytes(), file.with_suffix(".bin").read_bytes()
