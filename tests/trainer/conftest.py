from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixsearch.model.networks import Network
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.data.pack import Item, read_pack, write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.recipes.material import Material
from pixsearch_trainer.run.accelerator import make_accelerator
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.state import RunFolder
from pixsearch_trainer.train import Listener, Report, train
from tests.tiny_checkpoint import make_tiny_checkpoint

Fit = Callable[..., Report]
"""`train` in fp32 from the tiny checkpoint on `pack_with_val`, unless other options are given."""


@pytest.fixture(scope="session")
def tiny_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of random weights."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="session")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> list[CaptionedPicture]:
    """32 pictures of 2 x 2 random colours; each has five captions that begin with its own two letters."""
    folder = tmp_path_factory.mktemp("mosaics")
    colours = np.random.default_rng(0)
    made = []
    for name in [first + second for first in "abcdef" for second in "ghijkl"][:32]:
        tiles = Image.fromarray(colours.integers(0, 256, (2, 2, 3), dtype=np.uint8))
        tiles.resize((64, 64), Image.Resampling.NEAREST).save(folder / f"{name}.png")
        captions = tuple(f"{name} {letter}" for letter in "vwxyz")
        made.append(CaptionedPicture(folder / f"{name}.png", captions))
    return made


@pytest.fixture(scope="session")
def packed(mosaics: list[CaptionedPicture], tmp_path_factory: pytest.TempPathFactory) -> list[CaptionedPicture]:
    """The mosaics in a pack, as `read_pack` returns them."""
    file = tmp_path_factory.mktemp("packed") / "mosaics.zip"
    assert write_pack(mosaics, file, 64, silent) == []
    return [item for item in read_pack(file) if isinstance(item, CaptionedPicture)]


@pytest.fixture(scope="session")
def pack_with_val(mosaics: list[CaptionedPicture], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mosaics in a pack, the last eight of them val's."""
    file = tmp_path_factory.mktemp("pack") / "mosaics.zip"
    write_pack([*mosaics[:24], *(replace(picture, split="val") for picture in mosaics[24:])], file, 64, silent)
    return file


@pytest.fixture
def fit(tiny_start: Path, pack_with_val: Path, tmp_path: Path) -> Fit:
    def fit(
        on_progress: ProgressCallback = silent,
        on_problems: Callable[[Sequence[Problem]], None] = lambda _problems: None,
        **asked: Any,
    ) -> Report:
        options: dict[str, Any] = {"model": str(tiny_start), "data": (str(pack_with_val),), "precision": "no"}
        options |= {"out": str(tmp_path / "out"), "workers": 0 if "recipe" in asked else None, **asked}
        return train(TrainOptions(**options), Listener(print, on_progress, on_problems))

    return fit


def stop_at(task: str, done: int, by: signal.Signals | Exception = signal.SIGINT) -> ProgressCallback:
    """Send this process a signal, or raise, once so many steps of a stage are done."""

    def stop(progress: Progress) -> None:
        if (progress.task, progress.done) == (task, done):
            if isinstance(by, Exception):
                raise by
            os.kill(os.getpid(), by)

    return stop


def material_of(loaded: tuple[Network, PixelBertProcessor], items: Sequence[Item], folder: Path) -> Material:
    """What stages are built from, for a network in fp32."""
    return Material(Run(*loaded, RunFolder(folder), make_accelerator("no"), print, silent), items, workers=0)


def figures_in(out: Path) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = json.loads((out / "figures.json").read_text())
    return figures


def logged_in(out: Path) -> list[dict[str, Any]]:
    """The lines of the log, without the speed."""
    lines = (json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "pictures_per_second"} for line in lines]
