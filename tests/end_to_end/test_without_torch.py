"""Test that search commands import no training code: here, importing it is an error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from pixsearch.model.conversion import convert
from tests.end_to_end.conftest import Finished
from tests.photos import make_photo
from tests.tiny_dual_encoders import make_tiny_dual_encoder

PROGRAM = """
import sys
for name in ("accelerate", "httpx2", "tensorboard", "torch", "torchvision", "transformers"):
    sys.modules[name] = None  # an import of it is an ImportError
from pixsearch_cli.main import run
run()
"""
PATIENCE_S = 120

Start = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def start(home: Path, tiny_checkpoint: Path) -> Start:
    """Return a function that starts a command without waiting, in a home folder with a library of two photos."""
    variables = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}

    def start_command(*arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=variables | {"PIXSEARCH_MODEL": str(tiny_checkpoint)},
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start_command


@pytest.fixture(scope="module")
def indexed(home: Path, start: Start) -> Finished:
    for colour in ("red", "blue"):
        make_photo(home / f"photos/{colour}.png", colour)
    return end(start("index", "photos"))


def end(process: subprocess.Popen[str]) -> Finished:
    with process:
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def test_index_encodes(indexed: Finished) -> None:
    assert indexed.stdout == "2 photos: 2 encoded, 0 unchanged, 0 failed\n", indexed.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "something red"],
        ["query", "--image", "photos/red.png"],
        ["explain", "something red", "photos/red.png", "--model", "shipped"],
        ["status"],
        ["verify"],
    ],
)
def test_a_command_does_what_it_does(indexed: Finished, start: Start, arguments: list[str]) -> None:
    finished = end(start(*arguments))

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout


def test_serve_answers(indexed: Finished, start: Start) -> None:
    with start("serve", "--port", "0") as server:
        assert server.stderr is not None
        try:
            address = server.stderr.readline().partition(" at ")[2].partition(" (press")[0]
            with urllib.request.urlopen(f"{address}api/search?q=red", timeout=PATIENCE_S) as answer:
                assert len(json.load(answer)["hits"]) == 2
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE_S) == 0


def test_watch_encodes_what_comes(indexed: Finished, start: Start, home: Path) -> None:
    with start("watch") as watching:
        assert watching.stderr is not None
        assert watching.stdout is not None
        try:
            assert watching.stderr.readline() == "pixsearch: watching 1 folder (press Ctrl-C to stop)\n"
            make_photo(home / "photos/green.png", "green")
            assert watching.stdout.readline() == "3 photos: 1 encoded, 2 unchanged, 0 failed\n"
        finally:
            watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_S) == 0


def test_a_dual_encoder_that_is_converted_needs_neither_torch_nor_its_weights(home: Path, start: Start) -> None:
    model = make_tiny_dual_encoder(home / "clip", "CLIP")
    convert(model)
    (model / "model.safetensors").unlink()
    make_photo(home / "more/red.png", "red")

    indexed = end(start("index", "more", "--library", "of-clip", "--model", model))
    found = end(start("query", "something red", "--library", "of-clip", "--model", model, "--json"))

    assert indexed.stdout == "1 photo: 1 encoded, 0 unchanged, 0 failed\n", indexed.stderr
    assert json.loads(found.stdout)["path"] == str(home / "more/red.png"), found.stderr
