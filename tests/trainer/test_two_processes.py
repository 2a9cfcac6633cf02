"""Data-parallel training: two processes with half a batch each must train like one with the whole batch."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pixsearch.model.checkpoints import load_network, save_checkpoint
from pixsearch.progress import silent
from pixsearch_trainer.data.pack import write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.run.state import RunFolder
from tests.trainer import one_of_two_processes

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def start(tiny_start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint without dropout, which would differ between processes."""
    network, processor = load_network(tiny_start)
    config = dataclasses.replace(network.config, dropout=0.0)
    network.config = processor.config = config
    folder = tmp_path_factory.mktemp("without-dropout")
    save_checkpoint(folder, network, processor)
    return folder


@pytest.fixture(scope="module")
def pack(mosaics: list[CaptionedPicture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of 16 pictures, the first two with the same captions, and one in val, which any query finds."""
    pictures = [*mosaics[:16], dataclasses.replace(mosaics[16], split="val")]
    pictures[1] = dataclasses.replace(pictures[1], captions=pictures[0].captions)
    file = tmp_path_factory.mktemp("data") / "pack.zip"
    assert write_pack(pictures, file, 64, silent) == []
    return file


@pytest.fixture(scope="module")
def outs(start: Path, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The output folders of a run in one process and a run in two."""
    folders = [tmp_path_factory.mktemp(f"processes-{count}") for count in (1, 2)]
    environment = {"PYTHONPATH": os.pathsep.join(str(PROJECT / folder) for folder in (".", "trainer"))}
    for count, out in enumerate(folders, 1):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        finished = subprocess.run(
            [*torchrun, one_of_two_processes.__file__, start, pack, out],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
    return folders


@pytest.mark.parametrize("what", ["itc", "mlm"])
def test_losses_and_gradients_are_those_of_one_process_with_the_double_batch(what: str, outs: list[Path]) -> None:
    one, two = (dict[str, Any](torch.load(out / f"{what}.pt")) for out in outs)

    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert one["losses"][0] != pytest.approx(one["losses"][1], rel=1e-3)
    assert one["gradients"].keys() == two["gradients"].keys()
    assert len(one["gradients"]) > 20
    largest = max(gradient.abs().max().item() for gradient in one["gradients"].values())
    for name, gradient in one["gradients"].items():
        assert torch.allclose(gradient, two["gradients"][name], rtol=1e-3, atol=1e-6 * largest), name


def test_a_run_in_two_processes_ends_with_the_weights_of_one_and_both_have_them(start: Path, outs: list[Path]) -> None:
    alone, first, second = (
        torch.load(out / "whole" / f"weights-{rank}.pt") for out, rank in ((outs[0], 0), (outs[1], 0), (outs[1], 1))
    )

    before = load_network(start)[0].state_dict()
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        # AdamW reduces a gradient near zero to its sign, which depends on rounding, so the results cannot be closer.
        assert (first[name] - tensor).float().norm() <= 0.1 * (tensor - before[name]).float().norm() + 1e-6, name
    for part in ("maps.text_map.weight", "model.layers.0.output.dense.weight", "model.backbone.stem.0.weight"):
        assert (alone[part] - before[part]).norm() > 1e-3, part
    logged = [(out / "whole/log.jsonl").read_text().splitlines() for out in outs]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in logged]
    assert len(losses[1]) == 3  # every ten steps, from one process
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_signal_that_reaches_one_process_stops_all_of_them_after_the_same_step(outs: list[Path]) -> None:
    out = outs[1] / "stopped"

    assert (out / "stopped-0").exists()
    assert (out / "stopped-1").exists()
    state = RunFolder(out).load()
    assert state is not None
    assert (state["stage"], state["step"]) == (0, 10)  # of 20: two processes check for signals every ten steps
    weights = [torch.load(out / f"weights-{rank}.pt") for rank in (0, 1)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
