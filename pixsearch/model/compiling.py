"""Compiles forwards of a checkpoint for this machine's CPU.

    python -m pixsearch.model.compiling CHECKPOINT NUMBER_FORMAT FOLDER FORWARD...

Needs torch, some seconds and a GB of memory, and so is a program of its own, which `CompiledForwards` runs. It writes
each forward into a file of the folder, sealed with its checksum.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
import warnings
from pathlib import Path

import torch

import pixsearch.model.openvino_alone  # noqa: F401

import openvino  # isort: skip
from openvino.tools.ovc import convert_model  # isort: skip
from pixsearch.errors import PixsearchError
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.compiled_forwards import INVALID, properties_of
from pixsearch.model.forwards import FORWARDS, Forward


def main(checkpoint: Path, number_format: str, folder: Path, names: list[str]) -> None:
    """Raises CheckpointInvalid."""
    network, _ = load_checkpoint(checkpoint)
    for name in names:
        compiled = _compiled(FORWARDS[name](network).eval(), properties_of(name, number_format))
        (folder / name).write_bytes(compiled + hashlib.sha256(compiled).digest())


def _compiled(forward: Forward, properties: dict[str, str]) -> bytes:
    """A forward as OpenVINO's CPU plugin keeps it."""
    with torch.no_grad(), warnings.catch_warnings():
        # Of what a trace takes for constant, which is what the weights decide; and of torch.jit, which is to go. Its
        # successor, torch.export, does not take one sentence for many pictures and many for one in one graph.
        warnings.simplefilter("ignore")
        sizes = [openvino.PartialShape(list(size)) for size in forward.sizes()]
        model = convert_model(forward, example_input=forward.example(), input=sizes)
    with tempfile.TemporaryDirectory() as scratch:
        # By way of a file: only there are weights brought to 16 bits.
        file = Path(scratch) / "forward.xml"
        openvino.save_model(model, file, compress_to_fp16=forward.half_weights)
        stream = io.BytesIO()
        openvino.Core().compile_model(file, "CPU", properties).export_model(stream)
    return stream.getvalue()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    except PixsearchError as error:
        print(json.dumps([error.message, error.hint]))
        sys.exit(INVALID)
