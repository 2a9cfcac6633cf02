from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch.settings import models_folder
from tests.cli.conftest import Run
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint


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
    assert_refused(run, ["--data", dataset], 2, "1 --data and 0 --images")


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


def test_a_library_without_captions_cannot_be_trained_on_and_the_ways_to_give_pairs_are_named(
    run: Run, library: Path, checkpoint: Path, tmp_path: Path
) -> None:
    make_photo(tmp_path / "photos" / "red.png")
    assert run("index", tmp_path / "photos", "--model", checkpoint).exit_code == 0

    for way in ("photo.txt", "metadata", "--data"):
        assert_refused(run, ["--model", checkpoint], 1, way)


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
