from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from pixsearch import Library
from pixsearch_cli.main import main
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """A function that runs `pixsearch` with these arguments in this process, without the user's config file."""
    monkeypatch.setattr("pixsearch_cli.config_file.config_path", lambda: tmp_path / "no config.toml")

    def run_command(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pixsearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        printed = capsys.readouterr()
        code = exited.value.code
        assert code is None or isinstance(code, int)
        return Outcome(code or 0, printed.out, printed.err)

    return run_command


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ColourRuntime:
    """The model for every command in the test. It needs no torch, and its scores can be worked out by hand."""
    runtime = ColourRuntime()
    monkeypatch.setattr("pixsearch.model.checkpoints.find_checkpoint", lambda name: Path(name or "shipped"))
    monkeypatch.setattr("pixsearch_indexer.CheckpointEncoder", lambda checkpoint: runtime)
    monkeypatch.setitem(
        sys.modules, "pixsearch.model.load_runtime", SimpleNamespace(load_runtime=lambda checkpoint, gpu=True: runtime)
    )
    return runtime


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The location of the library for every command in the test. The library does not exist yet."""
    folder = tmp_path / "library"
    monkeypatch.setenv("PIXSEARCH_LIBRARY", str(folder))
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a dark red, a pink and a blue picture, and a copy of the blue one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in (
        ("dark red.png", (51, 0, 0)),
        ("pink.png", (255, 102, 102)),
        ("blue.png", (0, 0, 255)),
        ("blue again.png", (0, 0, 255)),
    ):
        Image.new("RGB", (20, 10), colour).save(folder / name)
    return folder


@pytest.fixture
def indexed(model: ColourRuntime, library: Path, photos: Path) -> Path:
    """The library, with the photos indexed."""
    with Library.create(library) as made:
        index_folders(made, model, [photos], load_files=load_in_this_process)
    return library
