from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from pixsearch.model.checkpoints import load_network
from pixsearch.settings import models_folder
from pixsearch_trainer.optimisation.state import RunFolder
from tests.cli.conftest import Run
from tests.other_tasks import write_nlvr2, write_vqa
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint
from tests.tiny_teacher import make_tiny_clip


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Of a single picture, a.png beside it."""
    make_photo(tmp_path / "a.png")
    file = tmp_path / "dataset.json"
    file.write_text('{"images": [{"filename": "a.png", "split": "train", "sentences": [{"raw": "a red square"}]}]}')
    return file


def assert_refused(run: Run, arguments: list[str | Path], exit_code: int, says: str) -> None:
    outcome = run("train", *arguments)

    assert outcome.exit_code == exit_code
    assert outcome.stdout == ""
    assert says in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_data_and_images_come_in_pairs(run: Run, dataset: Path) -> None:
    two: list[str | Path] = ["--data", dataset, "--data", dataset]

    assert_refused(run, [*two, "--images", dataset.parent], 2, "2 --data and 1 --images")
    assert_refused(run, [*two, "--weight", "2"], 2, "2 --data and 1 --weight")


def test_a_data_set_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.json"

    assert_refused(run, ["--data", missing, "--images", tmp_path], 1, f"{missing} cannot be read")


def test_a_cnn_or_a_model_of_an_unknown_name_is_named(run: Run, dataset: Path, tmp_path: Path) -> None:
    data: list[str | Path] = ["--data", dataset, "--images", tmp_path]

    assert_refused(run, [*data, "--backbone", "vgg"], 1, "no CNN is called 'vgg'")
    assert_refused(run, [*data, "--model", "nobody"], 1, "no model 'nobody'")


def test_a_training_starts_from_a_checkpoint_or_from_parts_and_not_from_both(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    both: list[str | Path] = ["--data", dataset, "--images", tmp_path, "--model", "mine", "--backbone", "resnet50"]

    assert_refused(run, both, 2, "--model and --backbone both say where to start")


def test_a_bare_train_needs_a_library(run: Run, library: Path) -> None:
    assert_refused(run, [], 1, f"no library in {library}")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_tiny_checkpoint(tmp_path / "checkpoint")


@pytest.mark.usefixtures("indexed")
def test_a_library_without_captions_cannot_be_trained_on_and_the_ways_to_give_pairs_are_named(
    run: Run, checkpoint: Path
) -> None:
    for way in ("photo.txt", "metadata", "--data"):
        assert_refused(run, ["--model", checkpoint], 1, way)


@pytest.mark.slow
def test_texts_beside_the_photos_of_the_library_train_a_model_that_is_found_by_its_name(
    run: Run, library: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for colour in ("red", "green", "blue"):
        make_photo(tmp_path / "photos" / f"{colour}.png", colour).with_suffix(".txt").write_text(f"all {colour}\n")
    assert run("index", tmp_path / "photos", "--model", checkpoint).exit_code == 0

    outcome = run("train", "--model", checkpoint, "--epochs", "1", "--rerank-steps", "1")

    assert outcome.exit_code == 0, outcome.stderr
    assert f"{models_folder() / 'my-photos'}: 3 pictures, 3 captions" in outcome.stdout
    answer = run("index", tmp_path / "photos", "--model", "my-photos", "--library", tmp_path / "other library")
    assert "3 encoded" in answer.stdout


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """A folder of six pictures with a caption beside each."""
    for colour in ("red", "green", "blue", "white", "black", "pink"):
        make_photo(tmp_path / "discs" / f"{colour}.png", colour).with_suffix(".txt").write_text(f"all {colour}\n")
    return tmp_path / "discs"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--block", "4", "--objective", "contrastive"], "--block says nothing to --objective contrastive"),
        (["--queue", "4"], "--queue says nothing to --objective bridge"),
        (["--objective", "paper", "--task", "pretrain"], "--objective is of --task retrieval"),
        (["--no-mlm"], "It goes with --task pretrain"),
        (["--edge", "288"], "--edge is of a start from parts"),
        (["--objective", "contrastive", "--teacher-texts", "texts.txt"], "--teacher-texts are for a teacher"),
        (["--objective", "paper", "--drop", "3"], "--drop is of the step schedule"),
        (["--weight", "0", "--data", "a.json"], "a --weight is not positive"),
        (["--resume"], "there is no run in"),
    ],
)
def test_options_that_say_nothing_to_the_run_are_refused(
    run: Run, tmp_path: Path, arguments: list[str], says: str
) -> None:
    assert_refused(run, [*arguments, "--out", tmp_path / "out"], 2, says)


def test_a_folder_of_captioned_pictures_pre_trains_a_model_and_that_is_then_fine_tuned(
    run: Run, checkpoint: Path, discs: Path, tmp_path: Path
) -> None:
    data: tuple[str | Path, ...] = ("--data", discs, "--workers", "0", "--batch", "6", "--epochs", "1")

    first = run(
        *("train", *data, "--task", "pretrain", "--model", checkpoint, "--out", tmp_path / "first", "--tensorboard")
    )
    second = run("train", *data, "--objective", "paper", "--model", tmp_path / "first", "--out", tmp_path / "second")

    assert first.exit_code == 0, first.stderr
    assert f"Fine-tune it: pixsearch train --model {tmp_path / 'first'}" in first.stdout
    assert load_network(tmp_path / "first")[0].config.task == "pretrain"
    assert list((tmp_path / "first" / "tensorboard").glob("events.*"))
    assert second.exit_code == 0, second.stderr
    assert f"{tmp_path / 'second'}: 6 pictures, 6 captions" in second.stdout
    assert load_network(tmp_path / "second")[0].config.task == "retrieval"


def test_the_cnn_is_trained_where_asked_for(run: Run, checkpoint: Path, discs: Path, tmp_path: Path) -> None:
    data: tuple[str | Path, ...] = ("--data", discs, "--workers", "0", "--batch", "6", "--epochs", "1", "--train-cnn")

    outcome = run("train", *data, "--model", checkpoint, "--out", tmp_path / "out")

    assert outcome.exit_code == 0, outcome.stderr
    before, after = (load_network(folder)[0].state_dict() for folder in (checkpoint, tmp_path / "out"))
    kernels = [name for name, tensor in before.items() if name.startswith("model.backbone.") and tensor.dim() == 4]
    assert any(not torch.equal(before[name], after[name]) for name in kernels)


def test_photos_without_words_teach_by_a_teacher_and_are_left_out_without_one(
    run: Run, checkpoint: Path, discs: Path, tmp_path: Path
) -> None:
    teacher = make_tiny_clip(tmp_path / "clip")
    for text in ("red.txt", "green.txt"):
        (discs / text).unlink()
    data: tuple[str | Path, ...] = ("--data", discs, "--workers", "0", "--batch", "4", "--epochs", "1")
    start: tuple[str | Path, ...] = ("--model", checkpoint, "--out", tmp_path / "out")

    with_teacher = run("train", *data, *start, "--teacher", teacher)
    without = run("train", *data, *start, "--objective", "contrastive")

    assert with_teacher.exit_code == 0, with_teacher.stderr
    assert "6 pictures" in with_teacher.stdout
    assert without.exit_code == 0, without.stderr
    assert "2 pictures without words are left out" in without.stderr
    assert "4 pictures, 4 captions" in without.stdout


def test_problems_of_the_data_are_named_and_too_many_of_them_stop_the_run_before_it_begins(
    run: Run, checkpoint: Path, discs: Path, tmp_path: Path
) -> None:
    (discs / "broken.png").write_bytes((discs / "red.png").read_bytes()[:40])
    (discs / "broken.txt").write_text("half a picture\n")
    arguments: list[str | Path] = ["--data", discs, "--workers", "0", "--model", checkpoint, "--out", tmp_path / "out"]

    passed = run("train", *arguments, "--epochs", "1", "--rerank-steps", "0")
    assert passed.exit_code == 0, passed.stderr
    assert f"passed over: {discs / 'broken.png'}: " in passed.stderr
    assert "6 pictures" in passed.stdout
    shutil.rmtree(tmp_path / "out")
    assert_refused(run, [*arguments, "--max-bad", "0"], 1, "1 problem in the data, more than the 0 allowed")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_does_a_step_and_writes_nothing(run: Run, checkpoint: Path, discs: Path, tmp_path: Path) -> None:
    for recipe in (("--objective", "bridge"), ("--objective", "contrastive", "--train-cnn")):
        outcome = run(
            *("train", "--data", discs, "--workers", "0", "--model", checkpoint, "--out", tmp_path / "out"),
            *(*recipe, "--dry-run"),
        )

        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.stdout.startswith("dry run: 6 pictures, 6 captions are sound; a step of each stage took ")
        assert not (tmp_path / "out").exists()


def interrupt_after_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ctrl-C would."""
    save = RunFolder.save

    def save_and_interrupt(folder: RunFolder, state: dict[str, object]) -> None:
        save(folder, state)
        monkeypatch.undo()
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunFolder, "save", save_and_interrupt)


def test_an_interrupted_run_is_gone_on_with_as_it_was_begun(
    run: Run, checkpoint: Path, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    begun: tuple[str | Path, ...] = (
        "--data",
        discs,
        "--workers",
        "0",
        "--model",
        checkpoint,
        "--objective",
        "contrastive",
    )
    steps: tuple[str, ...] = ("--batch", "3", "--epochs", "3", "--save-steps", "1")
    assert run("train", *begun, *steps, "--out", tmp_path / "whole").exit_code == 0

    interrupt_after_first_step(monkeypatch)
    interrupted = run("train", *begun, *steps, "--out", out)
    assert interrupted.exit_code == 130
    assert "--resume" in interrupted.stderr
    assert_refused(run, [*begun, *steps, "--out", out], 2, "holds a run that has not ended")
    assert_refused(run, ["--resume", "--out", out, "--batch", "4"], 2, "--batch is 3 in the run that you go on with")
    assert_refused(run, ["--resume", "--out", out, "--ema", "0.9"], 2, "--ema is its default in the run")
    (discs / "red.txt").write_text("all crimson\n")
    assert_refused(run, ["--resume", "--out", out], 1, "the data is not what it was when the run began")
    (discs / "red.txt").write_text("all red\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "contrastive").mkdir()  # an option's value, and no path
    resumed = run("train", "--resume", "--out", "out", "--batch", "3")

    assert resumed.exit_code == 0, resumed.stderr
    whole, halves = (load_network(folder)[0].state_dict() for folder in (tmp_path / "whole", out))
    assert all(torch.equal(tensor, halves[name]) for name, tensor in whole.items())


def test_questions_are_trained_on_and_measured_and_the_checkpoint_knows_its_answers_and_cannot_search(
    run: Run, checkpoint: Path, tmp_path: Path
) -> None:
    write_vqa(tmp_path / "vqa", {"train2014": 20, "val2014": 4})
    arguments = ("--data", tmp_path / "vqa", "--workers", "0", "--model", checkpoint, "--out", tmp_path / "out")

    outcome = run("train", *arguments, "--task", "vqa", "--epochs", "1", "--batch", "10")

    assert outcome.exit_code == 0, outcome.stderr
    assert f"{tmp_path / 'out'}: 20 questions" in outcome.stdout
    assert "val, step 2: accuracy " in outcome.stderr
    assert sorted(load_network(tmp_path / "out")[0].config.answers) == ["blue", "red"]
    refused = run("index", tmp_path / "vqa", "--model", tmp_path / "out", "--library", tmp_path / "library")
    assert refused.exit_code == 1
    assert "is a checkpoint of the task vqa and cannot search" in refused.stderr


def test_statements_about_two_pictures_are_trained_on_and_measured(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    write_nlvr2(tmp_path / "nlvr2", {"train": 8, "dev": 4})
    arguments = ("--data", tmp_path / "nlvr2", "--workers", "0", "--model", checkpoint, "--out", tmp_path / "out")

    outcome = run("train", *arguments, "--task", "nlvr2", "--epochs", "1", "--batch", "4")

    assert outcome.exit_code == 0, outcome.stderr
    assert f"{tmp_path / 'out'}: 8 statements" in outcome.stdout
    assert "val, step 2: accuracy " in outcome.stderr
    assert load_network(tmp_path / "out")[0].config.task == "nlvr2"
