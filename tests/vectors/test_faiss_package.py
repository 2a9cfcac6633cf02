"""The check for exactly one FAISS package, and its messages for none or two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pixsearch.errors import PixsearchError
from pixsearch.vectors import faiss_package
from pixsearch.vectors.faiss_package import require_faiss
from tests.photos import make_photo

COMMAND = Path(sys.executable).with_name("pixsearch")
BOTH = (
    "faiss-cpu and faiss-gpu are both installed, but they overwrite each other's files. "
    f"Reinstall FAISS with: {sys.executable} -m pip uninstall --yes faiss-cpu faiss-gpu && "
    f"{sys.executable} -m pip install 'pixsearch[cpu]'"
)


@pytest.fixture(autouse=True)
def _no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_package, "NVIDIA", tmp_path / "nvidiactl")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder on the module path. Installed packages are ignored."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    for name in [name for name in sys.modules if name.partition(".")[0] == "faiss"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def put_package(site: Path, *names: str) -> None:
    """Write those parts of an installed FAISS package that the check sees."""
    (site / "faiss").mkdir(exist_ok=True)
    (site / "faiss/__init__.py").touch()
    for name in names:
        (site / f"{name}-1.15.1.dist-info").mkdir()


@pytest.mark.parametrize("names", [["faiss_cpu"], ["faiss_gpu"], []])
def test_one_faiss_is_right_whoever_packed_it(site: Path, names: list[str]) -> None:
    put_package(site, *names)

    require_faiss()


def test_without_faiss_the_command_that_installs_it_is_named(site: Path, tmp_path: Path) -> None:
    with pytest.raises(PixsearchError) as caught:
        require_faiss()
    assert str(caught.value) == (
        f"FAISS is not installed. Install it with: {sys.executable} -m pip install 'pixsearch[cpu]'"
    )

    (tmp_path / "nvidiactl").touch()
    with pytest.raises(PixsearchError, match=r"pip install 'pixsearch\[gpu\]'"):
        require_faiss()


def test_of_two_that_overwrite_each_other_both_have_to_go(site: Path) -> None:
    put_package(site, "faiss_cpu", "faiss_gpu")

    with pytest.raises(PixsearchError) as caught:
        require_faiss()

    assert str(caught.value) == BOTH


def test_two_in_folders_of_their_own_do_not_meet(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One package belongs to the system, the other to a virtual environment that can see it."""
    put_package(site, "faiss_gpu")
    put_package(tmp_path, "faiss_cpu")
    monkeypatch.setattr(sys, "path", [str(site), str(tmp_path)])

    require_faiss()


def test_what_is_left_when_one_of_two_was_removed_is_none(site: Path) -> None:
    put_package(site, "faiss_gpu")
    (site / "faiss/__init__.py").unlink()

    with pytest.raises(
        PixsearchError, match=r"the FAISS installation is incomplete\. Reinstall FAISS with: .* pip uninstall"
    ):
        require_faiss()


def test_index_says_it_before_any_work_and_what_imports_faiss_too(tmp_path: Path) -> None:
    put_package(tmp_path, "faiss_cpu", "faiss_gpu")
    make_photo(tmp_path / "photos/red.png")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(*command: str | Path) -> str:
        return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False).stderr

    index = run(COMMAND, "index", tmp_path / "photos", "--library", tmp_path / "library")
    assert index.replace("[gpu]", "[cpu]") == f"pixsearch: {BOTH}\n"
    importing = run(sys.executable, "-c", "import pixsearch.vectors.faiss_index")
    assert importing.replace("[gpu]", "[cpu]").splitlines()[-1].endswith(f"PixsearchError: {BOTH}")
