from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo

NOBODY = 65534


@pytest.fixture(scope="session", autouse=True)
def _a_cache_of_the_tests_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """An empty library."""
    with Library.create(tmp_path / "library") as new:
        yield new


@pytest.fixture
def runtime() -> ColourRuntime:
    return ColourRuntime()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own ones are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be somebody whom permissions stop, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


COLOURS = ["red", "lime", "blue", "magenta", "cyan"]


@pytest.fixture
def indexed(library: Library, runtime: ColourRuntime, photos: Path) -> Library:
    """A library of five photos, `red.png` to `cyan.png`."""
    for colour in COLOURS:
        make_photo(photos / f"{colour}.png", colour)
    index_folders(library, runtime, [photos])
    runtime.pictures_encoded = 0
    return library
