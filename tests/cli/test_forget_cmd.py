from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pixsearch.errors import LibraryError
from tests.cli.conftest import Run


def test_a_forgotten_folder_is_found_no_more_and_its_photos_stay_where_they_are(
    run: Run, indexed: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "copies")
    (tmp_path / "copies" / "pink.png").unlink()
    run("index", tmp_path / "copies")

    outcome = run("forget", photos)

    assert (outcome.exit_code, outcome.stdout) == (0, "4 photos forgotten\n")
    found = {json.loads(line)["path"] for line in run("query", "red", "--json").stdout.splitlines()}
    assert {Path(path).parent for path in found} == {tmp_path / "copies"}
    assert len(list(photos.iterdir())) == 4
    assert run("verify").exit_code == 0


def test_a_folder_that_is_not_there_any_more_can_be_forgotten(run: Run, indexed: Path, photos: Path) -> None:
    shutil.rmtree(photos)

    assert json.loads(run("forget", photos, "--json").stdout) == {"forgotten": 4}
    assert json.loads(run("status", "--json").stdout)["roots"] == []


@pytest.mark.parametrize("fails", ["writer.LibraryWriter.drop_unused_contents", "library.Library._save_index"])
def test_what_was_forgotten_is_said_to_be_so_whatever_fails_after(
    run: Run, indexed: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(_self: object) -> None:
        raise LibraryError("the disk is full", "Make room")

    with monkeypatch.context() as patch:
        patch.setattr(f"pixsearch.library.{fails}", fail)
        outcome = run("forget", photos)

    assert (outcome.exit_code, outcome.stdout) == (0, "4 photos forgotten\n")
    assert outcome.stderr == (
        "pixsearch: forgotten, but the library could not be compacted: the disk is full. Make room\n"
    )
    assert run("query", "red").exit_code == 3
    assert run("verify").exit_code == 0


def test_a_folder_that_was_never_indexed_is_wrong_usage(run: Run, indexed: Path, tmp_path: Path) -> None:
    outcome = run("forget", tmp_path)

    assert outcome.exit_code == 2
    assert "pixsearch status" in outcome.stderr


def test_a_forgotten_text_file_is_found_no_more(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("all red\n")
    run("index", tmp_path / "captions.txt")
    assert f"text file {tmp_path}/captions.txt" in run("status").stdout.splitlines()

    outcome = run("forget", tmp_path / "captions.txt")

    assert (outcome.exit_code, outcome.stdout) == (0, "texts forgotten\n")
    assert run("query", "--image", photos / "pink.png", "--find", "texts").exit_code == 3
    assert (tmp_path / "captions.txt").is_file()
