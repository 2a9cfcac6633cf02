from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint


def test_a_split_without_pictures_is_a_wrong_question(run: Run, tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")
    dataset = tmp_path / "dataset.json"
    dataset.write_text('{"images": [{"filename": "a.png", "split": "train", "sentences": [{"raw": "a red square"}]}]}')
    model = make_tiny_checkpoint(tmp_path / "model")

    outcome = run("evaluate", "--data", dataset, "--images", tmp_path, "--model", model, "--split", "nothing")

    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "there is no picture to evaluate on" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
