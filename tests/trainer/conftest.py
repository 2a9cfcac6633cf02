from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import PixsearchError
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.networks import Network
from pixsearch.model.pixel_bert import PixelBertForRetrieval
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
from tests.trainer.made_up import chance

Loaded = tuple[PixelBertForRetrieval, PixelBertProcessor]
Pictures = list[CaptionedPicture]
Fit = Callable[..., Report]
"""The function `train` in fp32 with the tiny checkpoint and `pack_with_val` as defaults. Paths are Path objects."""
MaterialOf = Callable[..., Material]
"""A function that makes the material for stages from items, by default for the tiny network."""


@pytest.fixture(scope="session")
def tiny_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with random weights."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("start"))


@pytest.fixture
def loaded(tiny_start: Path) -> Loaded:
    """The tiny checkpoint, loaded."""
    return load_checkpoint(tiny_start)


@pytest.fixture
def network(loaded: Loaded) -> PixelBertForRetrieval:
    """The tiny network, with weights that let every part contribute to a pair's score."""
    network = loaded[0]
    network.late_interaction.scale.data.fill_(5.0)
    network.late_weight.data.fill_(3.0)
    head = network.itm_head.get_parameter("2.weight")
    head.data.copy_(torch.randn(head.shape, generator=chance()))
    return network


@pytest.fixture
def processor(loaded: Loaded) -> PixelBertProcessor:
    return loaded[1]


@pytest.fixture(scope="session")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> list[CaptionedPicture]:
    """32 pictures of 2 x 2 random colours. Each has five captions that begin with its own pair of letters."""
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
    """The mosaics in a pack, with the last eight in val."""
    file = tmp_path_factory.mktemp("pack") / "mosaics.zip"
    write_pack([*mosaics[:24], *(replace(picture, split="val") for picture in mosaics[24:])], file, 64, silent)
    return file


@pytest.fixture
def fit(tiny_start: Path, pack_with_val: Path, tmp_path: Path) -> Fit:
    def fit(
        on_progress: ProgressCallback = silent,
        on_problems: Callable[[Sequence[Problem]], None] = lambda _problems: None,
        **options: Any,
    ) -> Report:
        paths: dict[str, Any] = {"model": tiny_start, "data": pack_with_val, "out": tmp_path / "out", **options}
        given: dict[str, Any] = {name: str(one) if isinstance(one, Path) else one for name, one in paths.items()}
        given |= {"data": (given["data"],), "workers": options.get("workers", 0 if "recipe" in options else None)}
        return train(TrainOptions(**{"precision": "no", **given}), Listener(print, on_progress, on_problems))

    return fit


def stop_at(task: str, done: int, by: signal.Signals | Exception = signal.SIGINT) -> ProgressCallback:
    """Return a callback that signals this process, or raises an error, after this number of steps in a stage."""

    def stop(progress: Progress) -> None:
        if (progress.task, progress.done) == (task, done):
            if isinstance(by, Exception):
                raise by
            os.kill(os.getpid(), by)

    return stop


@pytest.fixture
def material_of(loaded: tuple[Network, PixelBertProcessor], tmp_path: Path) -> MaterialOf:
    def material_of(items: Sequence[Item], network: tuple[Network, PixelBertProcessor] = loaded) -> Material:
        run = Run(*network, RunFolder(tmp_path), make_accelerator("no"), print, silent)
        return Material(run, items, None, workers=0)

    return material_of


@contextmanager
def refused(error: type[PixsearchError], match: str) -> Iterator[None]:
    """Expect an error with a one-line message."""
    with pytest.raises(error, match=match) as found:
        yield
    assert "\n" not in str(found.value)


def assert_ended_alike(one: Path, other: Path) -> None:
    """Assert that two runs logged and saved exactly the same."""
    assert logged_in(one) == logged_in(other)
    for file in ("model.safetensors", "figures.json", "config.json"):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def figures_in(out: Path) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = json.loads((out / "figures.json").read_text())
    return figures


def logged_in(out: Path) -> list[dict[str, Any]]:
    """Return the log's lines without the speed."""
    lines = (json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in line.items() if name != "pictures_per_second"} for line in lines]
