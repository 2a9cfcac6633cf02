from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch_trainer.data.pairs import CaptionedPicture
from tests.tiny_checkpoint import make_tiny_checkpoint


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
