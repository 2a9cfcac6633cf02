from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from pixsearch import Library
from pixsearch.model.checkpoints import find_checkpoint, load_network
from pixsearch.progress import ProgressCallback
from pixsearch.settings import models_folder
from pixsearch_indexer import index_folders
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.train import Listener, Report
from tests.cli.conftest import Outcome, Run
from tests.colour_runtime import ColourRuntime
from tests.loading import load_in_this_process
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint
from tests.tiny_teacher import make_tiny_clip
from tests.trainer.conftest import stop_at


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[TrainOptions]:
    """The options that the command passes to the trainer, which is replaced by a stub."""
    received: list[TrainOptions] = []

    def train(options: TrainOptions, listener: Listener) -> Report:
        received.append(options)
        return Report(Path(options.out or "out"), 1234, 1, 2.0, *options.stage)

    monkeypatch.setattr("pixsearch_trainer.train.train", train)
    return received


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_tiny_checkpoint(tmp_path / "checkpoint")


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """A folder of six pictures, each with a caption file."""
    for colour in ("red", "green", "blue", "white", "yellow", "pink"):
        make_photo(tmp_path / "discs" / f"{colour}.png", colour).with_suffix(".txt").write_text(f"all {colour}\n")
    return tmp_path / "discs"


SMALL = ["--precision", "no", "--set", "maps.steps=3"]


def assert_refused(outcome: Outcome, exit_code: int, says: str) -> None:
    assert outcome.exit_code == exit_code, outcome.stderr
    assert outcome.stdout == ""
    assert says in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_every_option_reaches_the_trainer_and_paths_outlive_the_folder_they_are_named_in(
    run: Run, asked: list[TrainOptions], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip").mkdir()

    given = (
        "--data a.json --data s3://bucket/b --images a --images b --weight 2 --weight 0.5 --library mine --max-bad 3 "
        "--recipe shipped --stage maps --stage late --set maps.epochs=4 --set late.steps=5 --minutes 6 --model name "
        "--teacher clip --teacher-texts texts.txt --out out --resume --pack pack.zip --dry-run --workers 7 "
        "--precision bf16 --seed 8"
    )

    run("train", *given.split())

    assert asked[0].given() == {
        **{"data": (f"{tmp_path}/a.json", "s3://bucket/b"), "images": (f"{tmp_path}/a", f"{tmp_path}/b")},
        **{"weight": (2.0, 0.5), "library": "mine", "max_bad": 3, "recipe": "shipped", "stage": ("maps", "late")},
        **{"set": ("maps.epochs=4", "late.steps=5"), "minutes": 6.0, "model": "name", "teacher": f"{tmp_path}/clip"},
        **{"teacher_texts": f"{tmp_path}/texts.txt", "out": "out", "resume": True, "pack": "pack.zip"},
        **{"dry_run": True, "workers": 7, "precision": "bf16", "seed": 8},
    }
    assert asked[0].given().keys() == {field.name for field in fields(TrainOptions)}


def test_what_is_not_given_is_the_trainers_default_and_help_shows_few_options(
    run: Run, asked: list[TrainOptions]
) -> None:
    run("train")
    shown = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", run("train", "--help").stdout, flags=re.MULTILINE)

    assert asked == [TrainOptions()]
    assert {"--data", "--recipe", "--set", "--help"} < set(shown)
    assert len(shown) <= 24


def test_the_library_and_model_of_the_environment_contradict_neither_data_nor_a_run_to_resume(
    run: Run, asked: list[TrainOptions], library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXSEARCH_MODEL", "mine")

    run("train")
    run("train", "--data", "/a.json")
    run("train", "--resume", "--workers", "1")

    assert [options.given() for options in asked] == [
        {"library": str(library), "model": "mine"},
        {"data": ("/a.json",), "model": "mine"},
        {"resume": True, "workers": 1},
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--pack p.zip", "p.zip: 1,234 pictures, 1 caption\n"),
        ("--dry-run", "dry run: 1,234 pictures, 1 caption; finished in 120 s; nothing was written\n"),
        (
            "--out o",
            "o: 1,234 pictures, 1 caption, 2 minutes\n"
            "To search with this model, run: pixsearch index --model o FOLDER\n",
        ),
        ("--stage vqa", "out: 1,234 pictures, 1 caption, 2 minutes\n"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_the_result_is_printed_by_the_first_process_alone(
    run: Run, arguments: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("train", *arguments.split()).stdout == says
    monkeypatch.setenv("RANK", "1")
    assert run("train", *arguments.split()).stdout == ""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        ("--stage ranking", 2, "unknown stage 'ranking'. Stages of --recipe finetune: maps, late"),
        ("--set maps.epoch=3", 2, "maps has no setting 'epoch'. Valid settings: epochs, steps, batch"),
        ("--set cnn.epochs=3", 2, "unknown setting 'cnn.epochs=3'"),
        ("--set maps.epochs=many", 2, "invalid value 'many' for maps.epochs. Expected "),
        ("--minutes 3", 2, "--minutes does not apply to --recipe finetune"),
        ("--teacher-texts texts.txt", 2, "--teacher-texts has no effect without --teacher"),
        ("--recipe paper", 2, "--recipe paper requires --data"),
        ("--recipe shipped --data a.json --library mine", 2, "--library does not apply to --recipe shipped"),
        (
            "--recipe shipped --data a.json --set start.pool=true",
            2,
            "--model and --set start.* cannot be used together",
        ),
        ("--data a.json --library mine", 2, "--data and --library cannot be used together"),
        ("--data a.json --data b.json --images a", 2, "got 2 --data but 1 --images"),
        ("--data a.json --data b.json --weight 2", 2, "got 2 --data but 1 --weight"),
        ("--data a.json --weight 0", 2, "--weight must be positive"),
        ("--pack start/config.json", 2, "start/config.json already exists"),
        ("--resume", 2, "no unfinished run in out. Leave out --resume"),
        ("--data /nowhere.json", 1, "/nowhere.json cannot be read"),
        ("", 1, "no library in"),
    ],
)
@pytest.mark.usefixtures("library")
def test_what_cannot_be_done_is_refused_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, exit_code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_tiny_checkpoint(tmp_path / "start")

    assert_refused(run("train", *arguments.split(), "--model", "start", "--out", "out"), exit_code, says)
    assert not Path("out").exists()


def test_unknown_recipes_models_and_backbones_are_named(run: Run) -> None:
    unknown = run("train", "--recipe", "bridge")
    assert unknown.exit_code == 2
    assert "finetune" in unknown.stderr
    assert_refused(run("train", "--model", "nobody"), 1, "no model 'nobody'")
    backbone = run("train", "--recipe", "shipped", "--data", "a.json", "--set", "start.backbone=vgg")
    assert_refused(backbone, 1, "unknown backbone 'vgg'")


@pytest.mark.usefixtures("indexed")
def test_a_library_without_captions_cannot_be_trained_on_and_the_ways_to_add_some_are_named(
    run: Run, checkpoint: Path
) -> None:
    outcome = run("train", "--model", checkpoint)

    for way in ("photo.txt", "metadata", "--data"):
        assert_refused(outcome, 1, way)


def test_captions_beside_the_photos_of_the_library_train_a_model_that_is_found_by_its_name(
    run: Run, library: Path, checkpoint: Path, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with Library.create(library) as made:
        index_folders(made, ColourRuntime(), [discs], load_files=load_in_this_process)

    outcome = run("train", "--model", checkpoint, *SMALL)

    assert outcome.exit_code == 0, outcome.stderr
    assert f"{models_folder() / 'my-photos'}: 6 pictures, 6 captions" in outcome.stdout
    before, after = (load_network(folder)[0] for folder in (checkpoint, find_checkpoint("my-photos")))
    assert not torch.equal(before.state_dict()["maps.text_map.weight"], after.state_dict()["maps.text_map.weight"])


def test_photos_without_captions_teach_by_a_teacher(run: Run, checkpoint: Path, discs: Path, tmp_path: Path) -> None:
    for text in ("red.txt", "green.txt"):
        (discs / text).unlink()
    start = ["--model", checkpoint, "--teacher", make_tiny_clip(tmp_path / "clip"), "--out", tmp_path / "out"]

    outcome = run("train", "--data", discs, *start, *SMALL)

    assert outcome.exit_code == 0, outcome.stderr
    assert "6 pictures" in outcome.stdout


def test_what_cannot_be_used_is_named_and_too_much_of_it_leaves_no_run_to_resume(
    run: Run, checkpoint: Path, discs: Path, tmp_path: Path
) -> None:
    (discs / "broken.png").write_bytes((discs / "red.png").read_bytes()[:40])
    (discs / "broken.txt").write_text("half a picture\n")
    (discs / "green.txt").unlink()
    arguments = ["train", "--data", discs, "--model", checkpoint, *SMALL, "--out", tmp_path / "out"]

    assert_refused(run(*arguments, "--max-bad", "1"), 1, "2 problems in the data, more than the 1 allowed")
    assert_refused(run("train", "--resume", "--out", tmp_path / "out"), 2, "no unfinished run")
    passed = run(*arguments)

    assert passed.exit_code == 0, passed.stderr
    assert f"skipped: {discs}: 1 picture without captions; --teacher can learn from them" in passed.stderr
    assert f"skipped: {discs / 'broken.png'}: " in passed.stderr
    assert "5 pictures" in passed.stdout


@contextmanager
def ctrl_c_after_the_first_step() -> Iterator[ProgressCallback]:
    yield stop_at("maps", 1)


def test_an_interrupted_run_is_resumed_as_it_was_begun(
    run: Run, checkpoint: Path, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begun = ["train", "--data", "discs", "--model", "checkpoint", *SMALL, "--out"]
    assert run(*begun, "whole").exit_code == 0

    with monkeypatch.context() as patch:
        patch.setattr("pixsearch_cli.train_cmd.progress_bars", ctrl_c_after_the_first_step)
        assert_refused(run(*begun, "out"), 130, "stopped after step 1 of 3 (maps). Continue with --resume")
    assert_refused(run(*begun, "out"), 2, "out contains an unfinished run. Continue the run with --resume")
    assert_refused(
        run("train", "--resume", "--out", "out", "--seed", "4"), 2, "--seed does not match the run to resume"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.rmtree(discs)  # its pictures are already packed
    resumed = run("train", "--resume", "--out", "../out")

    assert resumed.exit_code == 0, resumed.stderr
    whole, halves = (load_network(tmp_path / folder)[0].state_dict() for folder in ("whole", "out"))
    assert all(torch.equal(tensor, halves[name]) for name, tensor in whole.items())
