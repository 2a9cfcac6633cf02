from __future__ import annotations

import gc
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.settings import Location
from pixsearch_indexer import index_folders
from tests import missing_packages
from tests.colour_runtime import ColourRuntime
from tests.environment import pin_environment
from tests.loading import load_in_this_process
from tests.object_storage import Bucket, ObjectStorage, environment, object_storage, reserved_port
from tests.photos import make_photo
from tests.postgres import PG_CTL, PostgresServer, postgres_server

NOBODY = 65534


def pytest_configure(config: pytest.Config) -> None:
    pin_environment()
    # Not a hook in this file, because pytest does not call this file's hooks for a folder whose own conftest cannot be
    # imported.
    config.pluginmanager.register(missing_packages)


def pytest_collection_finish() -> None:
    """Exclude all imports so far from garbage collection, because each training stage ends with a full collection."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_the_tests_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the config file, models, credentials and cache of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that converts a tiny dual encoder of a family (tests/tiny_dual_encoders.py) and returns its folder."""
    made: dict[str, Path] = {}

    def of(family: str) -> Path:
        if family not in made:
            from pixsearch.model.conversion import (
                convert,
            )  # needs torch and transformers
            from tests.tiny_dual_encoders import make_tiny_dual_encoder

            folder = make_tiny_dual_encoder(tmp_path_factory.mktemp(family.replace(" ", "-")), family)
            convert(folder)
            made[family] = folder
        return made[family]

    return of


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if PG_CTL is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def _port_of_object_storage() -> Iterator[int]:
    """Set the environment at the start, because all decoding processes keep the one in which the first was started."""
    with reserved_port() as port, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(port).items():
            patch.setenv(name, value)
        yield port


@pytest.fixture(scope="session")
def s3(_port_of_object_storage: int) -> Iterator[ObjectStorage]:
    with object_storage(_port_of_object_storage) as storage:
        yield storage


@pytest.fixture
def bucket(s3: ObjectStorage) -> Bucket:
    return s3.new_bucket()


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a Milvus Lite database, to which a collection name is appended."""
    return _milvus_lite(tmp_path_factory)


@pytest.fixture(scope="module")
def milvus_of_commands(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A separate Milvus Lite database for commands run as processes: only one process can open the file."""
    return _milvus_lite(tmp_path_factory)


def _milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("milvus_lite", reason="there is no Milvus Lite for this machine")
    return f"milvus+file://{tmp_path_factory.mktemp('milvus')}/milvus.db/"


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.slow),
        pytest.param("postgresql+milvus", marks=pytest.mark.slow),
    ]
)
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Location:
    """The location for a new library: a folder or, in slow tests, PostgreSQL with vectors in a file or in Milvus."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if request.param == "sqlite":
        return tmp_path / "library"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def library(request: pytest.FixtureRequest, location: Location) -> Iterator[Library]:
    """An empty library."""
    with Library.create(location) as new:
        if getattr(request.node, "callspec", None) and "milvus" in str(request.node.callspec.params.get("location")):
            with new.writing() as writer:
                writer.use_vectors(f"{request.getfixturevalue('milvus')}photos_{uuid.uuid4().hex}")
        yield new


@pytest.fixture
def runtime() -> ColourRuntime:
    return ColourRuntime()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own folders are private, and root's TMPDIR may be too."""
    with tempfile.TemporaryDirectory(dir="/tmp" if os.geteuid() == 0 else None) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder).resolve()  # /tmp is a link on macOS


@contextmanager
def without_privileges() -> Iterator[None]:
    """Act as a user to whom file permissions apply, even if the tests run as root."""
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
    index_folders(library, runtime, [photos], load_files=load_in_this_process)
    runtime.pictures_encoded = 0
    return library
