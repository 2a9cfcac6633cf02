"""The graphs that a CPU runs, one for each forward pass of a checkpoint, stored without weights in graphs.zip.

Each of `pixsearch.model.forwards.FORWARDS` has a graph in OpenVINO format. The graph's inputs are the inputs of the
forward pass, followed by each tensor from model.safetensors that it uses, under the tensor's name. `filling.py` fills
in these tensors before the graph is compiled. The weights are therefore stored only once, and users' machines do not
need to trace anything.
"""

from __future__ import annotations

import io
import json
import shlex
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixsearch.durable import write_durably
from pixsearch.errors import CheckpointInvalid
from pixsearch.model.checkpoints import CONFIG_FILE
from pixsearch.model.config import CONFIG_LIMIT_BYTES, PixelBertConfig
from pixsearch.regular_files import read_member, read_regular

GRAPHS_FILE = "graphs.zip"
GRAPHS_LIMIT_BYTES = 64 << 20
"""The maximum size of graphs.zip and of each graph in it. The file of the built-in checkpoint is smaller than 1 MiB."""
VERSION = 2
"""The version of the graphs. Increase it if the inputs or outputs of a forward pass change, to reject older graphs."""
_ABOUT = "about.json"
_WHEN = 1980, 1, 1, 0, 0, 0
"""The date of every file in the archive, fixed so that equal graphs produce equal archives."""


def write_graphs(folder: Path, graphs: Mapping[str, tuple[bytes, bytes]], config: PixelBertConfig) -> None:
    """Write graphs.zip to a checkpoint's folder.

    Args:
        folder: the folder of the checkpoint.
        graphs: the two OpenVINO files for each forward pass: the graph (XML) and its own small constants.
        config: the config of the traced network.
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
    """Return the content of a folder's graphs.zip.

    Return None if it is missing or damaged, or does not match the config or this version of pixsearch.
    """
    try:
        content = read_regular(folder / GRAPHS_FILE, GRAPHS_LIMIT_BYTES)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return content if json.loads(read_member(archive, _ABOUT, CONFIG_LIMIT_BYTES)) == _about(config) else None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None


def load_graphs(folder: Path) -> bytes:
    """Return the content of a checkpoint's graphs.zip. Raises CheckpointInvalid if it is missing or out of date."""
    content = fitting_graphs(folder, PixelBertConfig.load(folder / CONFIG_FILE))
    if content is None:
        raise CheckpointInvalid(
            f"{folder} has no CPU graphs that match its config and this version of pixsearch",
            f"Add them with: {command_to_add(folder)}",
        )
    return content


def command_to_add(folder: Path) -> str:
    """Return the command that adds graphs to a checkpoint."""
    return f"pixsearch add-graphs {shlex.quote(str(folder))}"


def input_name(number: int) -> str:
    """Return the name of a graph input that belongs to the forward pass and is not a weight."""
    return f"input {number}"


def is_input(name: str) -> bool:
    """Return whether a graph input belongs to the forward pass and is not a weight."""
    return name.startswith("input ")


def _about(config: PixelBertConfig) -> dict[str, Any]:
    """Return everything that a graph depends on, except the code of the forward passes."""
    values = {name: value for name, value in asdict(config).items() if name not in _WITHOUT_EFFECT}
    return {"version": VERSION, "config": json.loads(json.dumps(values))}


_WITHOUT_EFFECT = ("calibration", "rerank", "dropout", "max_words")
"""The config fields that have no effect on the forward passes."""
