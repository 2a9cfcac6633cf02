from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pixsearch.model.checkpoints import fingerprint
from tests.cli.conftest import Run
from tests.cli.test_evaluate_cmd import COLOURS, runtime, write
from tests.colour_runtime import ColourRuntime
from tests.tiny_checkpoint import make_tiny_checkpoint

__all__ = ["runtime"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_tiny_checkpoint(tmp_path / "model")


def test_probabilities_are_written_into_the_checkpoint_and_drawn(run: Run, tmp_path: Path, model: Path) -> None:
    before = fingerprint(model)
    data, diagram = write(tmp_path, val=COLOURS), tmp_path / "d.svg"

    outcome = run("calibrate", "--data", data, "--model", model, "--candidates", "4", "--diagram", diagram, "--json")

    report = json.loads(outcome.stdout)
    assert (report["pairs"], report["matching"]) == (16, 4)
    written = json.loads((model / "config.json").read_text())["calibration"]
    assert written == report["calibration"]
    assert fingerprint(model) == before
    circles = [one for one in ElementTree.parse(diagram).iter() if one.tag.endswith("circle")]
    assert len(circles) == len(report["bins"])


def test_the_report_is_a_table_and_the_curve(run: Run, tmp_path: Path, model: Path) -> None:
    outcome = run("calibrate", "--data", write(tmp_path, val=COLOURS), "--model", model, "--candidates", "4")

    heading, *_, curve = outcome.stdout.splitlines()
    assert heading.split() == ["predicted", "observed", "pairs"]
    assert curve.startswith("probability = sigmoid(match / ")
    assert curve.endswith("over 16 pairs, 4 of which match")


def test_a_model_whose_logits_say_nothing_stays_as_it_is(
    run: Run, tmp_path: Path, model: Path, runtime: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "match", lambda text, grids, embeddings: np.zeros(len(grids), np.float32))
    before = (model / "config.json").read_text()

    outcome = run("calibrate", "--data", write(tmp_path, val=COLOURS), "--model", model, "--candidates", "4")

    assert outcome.exit_code == 2
    assert "no higher" in outcome.stderr
    assert (model / "config.json").read_text() == before


def test_one_picture_is_too_little(run: Run, tmp_path: Path, model: Path) -> None:
    outcome = run("calibrate", "--data", write(tmp_path, val=COLOURS[:1]), "--model", model)

    assert outcome.exit_code == 2
    assert "too little" in outcome.stderr
