"""The files of a run: saved states, and errors for damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pixsearch.errors import CheckpointInvalid, UsageError
from pixsearch_trainer.run.state import RunFolder, RunLog
from tests.unsuitable_files import UNSUITABLE, in_time


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.begin({"seed": 1})
    return folder


def test_a_save_that_is_cut_off_leaves_the_state_before(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    folder.save({"step": 1})
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.save({"step": 2})

    assert folder.load() == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"no ZIP archive", None])
@pytest.mark.parametrize("name", ["state.pt", "stage-2.pt", "best-2.pt", "options.json"])
def test_a_damaged_file_is_one_line_that_names_it(folder: RunFolder, name: str, content: bytes | None) -> None:
    folder.save({"step": 1})
    folder.keep("stage", 2, {"step": 1})
    folder.keep("best", 2, {"step": 1})
    file = folder.folder / name
    file.write_bytes(file.read_bytes()[:-10] if content is None else content)
    load: dict[str, Callable[[], object]] = {
        "state.pt": folder.load,
        "stage-2.pt": lambda: folder.kept("stage", 2),
        "best-2.pt": lambda: folder.kept("best", 2),
        "options.json": folder.options,
    }

    with pytest.raises(CheckpointInvalid, match=rf"{name} is damaged \(.*[Ss]tart again") as failed:
        load[name]()
    assert "\n" not in str(failed.value)


def test_a_run_is_begun_again_until_its_first_step_and_a_finished_one_leaves_nothing(folder: RunFolder) -> None:
    assert folder.load() is None
    folder.begin({"seed": 2})
    assert folder.options() == {"seed": 2}
    folder.save({"step": 1})
    with pytest.raises(UsageError, match=f"{folder.out} contains an unfinished run.*--resume"):
        folder.begin({})

    folder.end()

    assert not list(folder.out.iterdir())
    with pytest.raises(UsageError, match="no unfinished run"):
        folder.options()


def test_the_networks_of_a_stage_are_kept_until_the_one_after_the_next(folder: RunFolder) -> None:
    for stage in range(4):
        folder.keep("stage", stage, {"number": stage})

    assert {file.name for file in folder.folder.glob("*.pt")} == {"stage-2.pt", "stage-3.pt"}
    assert folder.kept("stage", 2) == {"number": 2}


def test_a_log_forgets_what_will_come_again_and_a_line_that_was_cut_off(tmp_path: Path) -> None:
    log = RunLog(tmp_path, None)
    for stage, step in ((0, 10), (1, 10), (1, 20)):
        log.write(stage, step, {"loss": 0.5})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"stage": 0, "st')

    RunLog(tmp_path, resumed_at=(1, 10)).write(1, 20, {"loss": 0.25})

    lines = [tuple(json.loads(line).values()) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [(0, 10, 0.5), (1, 10, 0.5), (1, 20, 0.25)]


@pytest.mark.parametrize("kind", UNSUITABLE)
@pytest.mark.parametrize("name", ["state.pt", "options.json"])
def test_a_file_of_a_run_that_is_none_is_not_waited_for(folder: RunFolder, name: str, kind: str) -> None:
    folder.save({"step": 1})
    UNSUITABLE[kind](folder.folder / name)
    read = folder.load if name == "state.pt" else folder.options

    with in_time(), pytest.raises((CheckpointInvalid, OSError), match=r"not a regular file|larger than 64 MiB|damaged"):
        read()


def test_the_log_is_written_through_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "log.jsonl").symlink_to(precious)

    RunLog(tmp_path, None).write(1, 2, {"loss": 3})

    assert precious.read_text() == "precious"
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {"stage": 1, "step": 2, "loss": 3}


def test_a_folder_of_somebody_elses_that_is_called_run_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="run is not a run folder"):
        RunFolder(tmp_path).begin({"seed": 1})
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"
