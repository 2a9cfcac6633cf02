"""The graphs of a checkpoint: without weights, in step with the code, and refused if they do not fit."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch
from safetensors.numpy import load_file, save_file

from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import CONFIG_FILE, SHIPPED, WEIGHTS_FILE, load_checkpoint
from pixsearch.model.config import Calibration, Curve, PixelBertConfig
from pixsearch.model.filling import filled_graph
from pixsearch.model.forwards import FORWARDS, Forward
from pixsearch.model.graphs import GRAPHS_FILE, fitting_graphs, load_graphs
from pixsearch.model.tracing import trace


@pytest.fixture
def folder(active_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(active_checkpoint, tmp_path / "checkpoint"))


@pytest.mark.slow
@pytest.mark.parametrize("name", FORWARDS)
def test_the_built_in_graphs_are_in_step_with_the_code(name: str) -> None:
    forward = FORWARDS[name](load_checkpoint(SHIPPED)[0]).eval()
    compiled = openvino.Core().compile_model(graph_of(SHIPPED, name), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    retraced = openvino.Core().read_model(*trace(forward))
    with zipfile.ZipFile(SHIPPED / GRAPHS_FILE) as archive:
        shipped = openvino.Core().read_model(archive.read(f"{name}.xml"), archive.read(f"{name}.bin"))

    assert operations(shipped) == operations(retraced)
    for inputs in (forward.example(), others(forward)):
        given, expected = compiled([one.numpy() for one in inputs])[0], forward(*inputs).detach().numpy()
        assert given == pytest.approx(expected, abs=0.001 * float(np.abs(expected).max()))


def others(forward: Forward) -> tuple[torch.Tensor, ...]:
    """Return inputs of other sizes than those of the trace: padded words, a masked pixel, half as many pictures."""
    random = torch.Generator().manual_seed(0)
    inputs = list[torch.Tensor]()
    for one in forward.example():
        if one.dtype == torch.int64:
            inputs.append(torch.randint(1000, 9000, (1, 9), generator=random))
        elif one.dtype == torch.bool:
            mask = torch.ones(1, 9 if one.shape[1] == 7 else one.shape[1], dtype=torch.bool)
            mask[:, -1] = False
            inputs.append(mask)
        else:
            inputs.append(one[:1])
    return tuple(inputs)


def graph_of(folder: Path, name: str) -> openvino.Model:
    return filled_graph(load_graphs(folder), name, folder)


def operations(graph: openvino.Model) -> list[tuple[str, str]]:
    """Return the types and attributes of a graph's nodes, in an order that does not depend on names."""
    return sorted((node.get_type_name(), str(node.get_attributes())) for node in graph.get_ops())


def test_the_built_in_graphs_have_no_weights() -> None:
    assert (SHIPPED / GRAPHS_FILE).stat().st_size < 200_000


def test_weights_are_read_from_the_checkpoint(folder: Path) -> None:
    ids, mask = np.array([[101, 104, 102]]), np.ones((1, 3), bool)
    before = openvino.Core().compile_model(graph_of(folder, "read_texts"), "CPU")([ids, mask])[0]
    weights = load_file(folder / WEIGHTS_FILE)
    save_file(
        {name: -tensor if name == "maps.text_map.weight" else tensor for name, tensor in weights.items()},
        folder / WEIGHTS_FILE,
    )

    after = openvino.Core().compile_model(graph_of(folder, "read_texts"), "CPU")([ids, mask])[0]

    assert np.abs(after - before).max() > 0.1


def test_a_checkpoint_without_graphs_is_refused_with_the_command_that_adds_them(folder: Path) -> None:
    (folder / GRAPHS_FILE).unlink()

    with pytest.raises(CheckpointInvalid, match=f"pixsearch add-graphs {folder}"):
        graph_of(folder, "match")


def flipped(zipped: bytes) -> bytes:
    """Return a zip file with one wrong byte in the compressed description at its start."""
    start = zipped.index(b"about.json") + 20
    return zipped[:start] + bytes([zipped[start] ^ 0xFF]) + zipped[start + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda zipped: zipped[:-100], lambda zipped: zipped.replace(b"match.xml", b"other.xml"), flipped]
)
def test_damaged_graphs_are_refused_with_the_command_that_rebuilds_them(
    folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    (folder / GRAPHS_FILE).write_bytes(damage((folder / GRAPHS_FILE).read_bytes()))

    with pytest.raises(CheckpointInvalid, match=f"pixsearch add-graphs {folder}"):
        graph_of(folder, "match")


def test_graphs_only_fit_configs_with_the_same_forwards(folder: Path) -> None:
    config = PixelBertConfig.load(folder / CONFIG_FILE)

    assert fitting_graphs(
        folder, dataclasses.replace(config, rerank=False, calibration=Calibration(Curve(1.0, 0.0), Curve(1.0, 0.0)))
    )
    assert fitting_graphs(folder, dataclasses.replace(config, heads=4)) is None


@pytest.mark.parametrize("change", ["missing", "reshaped"])
def test_weights_that_do_not_fit_the_graphs_are_refused(folder: Path, change: str) -> None:
    weights = load_file(folder / WEIGHTS_FILE)
    tensor = weights.pop("itm_head.0.weight")
    if change == "reshaped":
        weights["itm_head.0.weight"] = np.concatenate([tensor, tensor])
    save_file(weights, folder / WEIGHTS_FILE)

    with pytest.raises(CheckpointInvalid, match="does not match its config"):
        graph_of(folder, "match")
