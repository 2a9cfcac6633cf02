"""Data-parallel training: two processes with half a batch each do what one with the whole batch does."""

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
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.optimisation.state import RunFolder
from tests.trainer import one_of_two_processes

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def start(tiny_start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint without dropout, which no two processes draw alike."""
    network, processor = load_network(tiny_start)
    config = dataclasses.replace(network.config, dropout=0.0)
    network.config = processor.config = config
    folder = tmp_path_factory.mktemp("without-dropout")
    save_checkpoint(folder, network, processor)
    return folder


@pytest.fixture(scope="module")
def data(mosaics: list[CaptionedPicture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the first 16, the first two share their captions."""
    pictures = [(str(picture.file), picture.captions) for picture in mosaics[:16]]
    pictures[1] = (pictures[1][0], pictures[0][1])
    file = tmp_path_factory.mktemp("data") / "pictures.json"
    file.write_text(json.dumps(pictures))
    return file


def start_processes(count: int, what: str, start: Path, data: Path, out: Path) -> None:
    places = {"PYTHONPATH": os.pathsep.join(str(PROJECT / place) for place in (".", "trainer")), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [*torchrun, one_of_two_processes.__file__, what, str(start), str(data), str(out)]
    finished = subprocess.run(
        command, env=os.environ | places, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("what", ["itc", "mlm"])
def test_losses_and_gradients_are_those_of_one_process_with_the_double_batch(
    what: str, start: Path, data: Path, tmp_path: Path
) -> None:
    found: list[dict[str, Any]] = []
    for count in (1, 2):
        start_processes(count, what, start, data, tmp_path / f"{count}.pt")
        found.append(torch.load(tmp_path / f"{count}.pt"))

    one, two = found
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert one["losses"][0] != pytest.approx(one["losses"][1], rel=1e-3)
    assert one["gradients"].keys() == two["gradients"].keys()
    assert len(one["gradients"]) > 20
    largest = max(gradient.abs().max().item() for gradient in one["gradients"].values())
    for name, gradient in one["gradients"].items():
        assert torch.allclose(gradient, two["gradients"][name], rtol=1e-3, atol=1e-6 * largest), name


def test_a_run_in_two_processes_ends_with_the_weights_of_one_and_both_have_them(
    start: Path, data: Path, tmp_path: Path
) -> None:
    for count in (1, 2):
        start_processes(count, "run", start, data, tmp_path / f"{count}")

    alone, first, second = (
        torch.load(tmp_path / place) for place in ("1/weights-0.pt", "2/weights-0.pt", "2/weights-1.pt")
    )
    before = load_network(start)[0].state_dict()
    assert not torch.equal(alone["maps.text_map.weight"], before["maps.text_map.weight"])
    for name, tensor in alone.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(tensor, first[name], rtol=1e-3, atol=1e-5), name
    logged = [(tmp_path / place / "log.jsonl").read_text().splitlines() for place in ("1", "2")]
    losses = [[json.loads(line)["loss"] for line in lines] for lines in logged]
    assert len(losses[1]) == 3  # one process writes the log
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_signal_that_reaches_one_process_stops_all_of_them_after_the_same_step(
    start: Path, data: Path, tmp_path: Path
) -> None:
    start_processes(2, "stop", start, data, tmp_path)

    assert (tmp_path / "stopped-0").exists()
    assert (tmp_path / "stopped-1").exists()
    state = RunFolder(tmp_path).load()
    assert state is not None
    assert state["step"] == 1
    weights = [torch.load(tmp_path / f"weights-{rank}.pt") for rank in (0, 1)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
