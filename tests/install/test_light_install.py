"""The wheel, installed on its own as the README describes, searches without torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.photos import make_photo

PROJECT = Path(__file__).parents[2]
TRAINING = {"accelerate", "tensorboard", "torch", "torchvision", "transformers", "triton"}
MOST_BYTES = 800_000_000
PIP_S, COMMAND_S = 1200, 300

Finished = subprocess.CompletedProcess[str]
Pixsearch = Callable[..., Finished]

pytestmark = pytest.mark.slow


def pip(python: str | Path, *arguments: str | Path) -> Finished:
    return subprocess.run(
        [python, "-m", "pip", *arguments], capture_output=True, text=True, check=False, timeout=PIP_S, cwd="/"
    )


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel's `cpu` extra and nothing from this checkout."""
    folder = tmp_path_factory.mktemp("light")
    if pip(sys.executable, "download", "--no-deps", "--dest", folder / "any", "openvino-telemetry").returncode != 0:
        pytest.skip("no package index is reachable")
    built = pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", folder, PROJECT)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("pixsearch-*.whl")
    venv.create(folder / "venv", with_pip=True)
    installed = pip(
        folder / "venv/bin/python",
        *("install", "--no-compile", "--constraint", PROJECT / "constraints.txt", f"{wheel}[cpu]"),
    )
    assert installed.returncode == 0, installed.stderr
    return folder / "venv"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home folder with two photos."""
    folder = tmp_path_factory.mktemp("home")
    for colour in ("red", "blue"):
        make_photo(folder / f"photos/{colour}.png", colour)
    return folder


@pytest.fixture(scope="module")
def variables(home: Path) -> dict[str, str]:
    """The environment variables of that user, without access to packages of the tests' interpreter."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("PIXSEARCH", "PYTHON", "XDG_"))}
    return theirs | {"HOME": str(home)}


@pytest.fixture(scope="module")
def pixsearch(environment: Path, home: Path, variables: dict[str, str]) -> Pixsearch:
    def run(*arguments: str | Path) -> Finished:
        return subprocess.run(
            [environment / "bin/pixsearch", *arguments],
            env=variables,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )

    return run


@pytest.fixture(scope="module")
def first_run(pixsearch: Pixsearch) -> Finished:
    return pixsearch("index", "photos")


def test_nothing_of_training_is_installed_and_all_of_it_is_small(environment: Path) -> None:
    listed = json.loads(pip(environment / "bin/python", "list", "--format", "json").stdout)
    names = {package["name"].lower() for package in listed}

    assert {"faiss-cpu", "openvino", "pixsearch"} <= names
    assert not names & TRAINING
    assert not [name for name in names if name.startswith(("nvidia", "faiss-gpu"))]
    files = {(file.stat().st_dev, file.stat().st_ino): file.stat().st_size for file in environment.rglob("*")}
    assert sum(files.values()) < MOST_BYTES


def test_photos_are_indexed(first_run: Finished) -> None:
    assert first_run.returncode == 0, first_run.stderr
    assert first_run.stdout == "2 photos: 2 encoded, 0 unchanged, 0 failed\n"


def test_words_and_pictures_find_them(pixsearch: Pixsearch, first_run: Finished, home: Path) -> None:
    for asked in (["something red"], ["--image", "photos/red.png"]):
        finished = pixsearch("query", *asked, "--json")

        assert finished.returncode == 0, finished.stderr
        hits = [json.loads(line) for line in finished.stdout.splitlines()]
        assert {hit["path"] for hit in hits} == {str(home / f"photos/{colour}.png") for colour in ("red", "blue")}


def test_the_names_of_towns_come_along(pixsearch: Pixsearch, first_run: Finished) -> None:
    finished = pixsearch("query", "--near", "Kyoto,20")

    assert finished.returncode == 3  # no photo has a location
    assert "near Kyoto, Japan (35.021, 135.754)" in finished.stderr


def test_a_hit_is_explained(pixsearch: Pixsearch, first_run: Finished, home: Path) -> None:
    finished = pixsearch("explain", "something red", "photos/red.png", "--out", "why.png", "--json")

    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["words"] == ["something", "red"]
    assert (home / "why.png").stat().st_size > 0


def test_the_library_is_described_and_checked(pixsearch: Pixsearch, first_run: Finished) -> None:
    assert json.loads(pixsearch("status", "--json").stdout)["photos"] == 2
    assert pixsearch("verify").returncode == 0


def test_the_page_is_served(environment: Path, home: Path, variables: dict[str, str], first_run: Finished) -> None:
    with subprocess.Popen(
        [environment / "bin/pixsearch", "serve", "--port", "0"],
        env=variables,
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        try:
            address = server.stderr.readline().partition(" at ")[2].partition(" (press")[0]
            with urllib.request.urlopen(address, timeout=COMMAND_S) as page:
                assert "<html" in page.read().decode()
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(COMMAND_S) == 0


def test_training_names_the_command_that_installs_what_it_needs(pixsearch: Pixsearch, environment: Path) -> None:
    finished = pixsearch("train", "--data", "photos")

    assert finished.returncode == 1
    assert finished.stderr == (
        "pixsearch: pixsearch train needs accelerate, torch, torchvision, transformers. "
        f"Install it with: {environment}/bin/python -m pip install 'pixsearch[train]'\n"
    )
