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
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint

__all__ = ["runtime"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_tiny_checkpoint(tmp_path / "model")


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Queries for an album with a red, a green and a blue photo. A right pair has a match of 5, a wrong one -5."""
    album = tmp_path / "album"
    album.mkdir()
    for name, colour in (("red", "red"), ("green", "lime"), ("blue", "blue")):
        make_photo(album / f"photo_{name}.png", colour)
    queries = [{"query": name, "photos": [name]} for name in ("red", "green")]
    file = album / "queries.json"
    file.write_text(json.dumps({"queries": queries, "absent": [{"query": "blue"}]}))
    return file


def test_judged_queries_make_the_probabilities_and_are_drawn(
    run: Run, tmp_path: Path, model: Path, judged: Path
) -> None:
    before, diagram = fingerprint(model), tmp_path / "d.svg"

    outcome = run("calibrate", "--judged", judged, "--model", model, "--diagram", diagram, "--json")

    report = json.loads(outcome.stdout)
    for stage in ("joint", "late"):
        counts = [report[stage][name] for name in ("pairs", "right", "present", "absent")]
        assert counts == [9, 2, 2, 1]
        assert report[stage]["curve"] == report["calibration"][stage]
    written = json.loads((model / "config.json").read_text())["calibration"]
    assert written == report["calibration"]
    # The joint stream's scores are 5 and -5, the late scores 1 and 0. Both curves give the same probabilities.
    joint, late = written["joint"], written["late"]
    assert 5 * joint["slope"] + joint["intercept"] == pytest.approx(late["slope"] + late["intercept"])
    assert -5 * joint["slope"] + joint["intercept"] == pytest.approx(late["intercept"])
    assert fingerprint(model) == before
    circles = [one for one in ElementTree.parse(diagram).iter() if one.tag.endswith("circle")]
    assert len(circles) == len(report["joint"]["bins"]) + len(report["late"]["bins"])


def test_the_report_is_tables_and_the_curve_of_each_stage(run: Run, tmp_path: Path, model: Path, judged: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    judged.rename(elsewhere)

    outcome = run("calibrate", "--judged", elsewhere, "--images", judged.parent, "--model", model)

    lines = outcome.stdout.splitlines()
    headings = [line for line in lines if line.startswith("predicted")]
    assert [" ".join(line.split()) for line in headings] == [
        "predicted by match observed pairs",
        "predicted by late score observed pairs",
    ]
    assert "answered (of 2)" in outcome.stdout
    assert "refused (of 1)" in outcome.stdout
    assert lines[-2].startswith("log loss ")
    assert lines[-2].endswith(" over 9 pairs, 2 of which are right")
    assert lines[-1].startswith("probability = sigmoid(")


def test_captioned_pictures_make_them_too(run: Run, tmp_path: Path, model: Path) -> None:
    outcome = run("calibrate", "--data", write(tmp_path, val=COLOURS[:3]), "--model", model, "--sample", "2", "--json")

    report = json.loads(outcome.stdout)
    assert [report["joint"][name] for name in ("right", "present", "absent")] == [2, 2, 0]
    assert json.loads((model / "config.json").read_text())["calibration"] == report["calibration"]


@pytest.mark.parametrize("given", [[], ["--judged", "queries.json", "--data", "dataset.json"]])
def test_it_is_fitted_on_one_of_the_two(run: Run, given: list[str]) -> None:
    outcome = run("calibrate", *given)

    assert outcome.exit_code == 2
    assert "either --judged or --data" in outcome.stderr


def test_a_model_whose_logits_say_nothing_stays_as_it_is(
    run: Run, model: Path, judged: Path, runtime: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "match", lambda texts, grids, late_scores: np.zeros(len(grids), np.float32))
    before = (model / "config.json").read_text()

    outcome = run("calibrate", "--judged", judged, "--model", model)

    assert outcome.exit_code == 2
    assert "not higher" in outcome.stderr
    assert (model / "config.json").read_text() == before


def test_one_picture_is_too_little(run: Run, tmp_path: Path, model: Path) -> None:
    outcome = run("calibrate", "--data", write(tmp_path, val=COLOURS[:1]), "--model", model)

    assert outcome.exit_code == 2
    assert "not enough data" in outcome.stderr


def test_a_photo_that_the_album_lacks_is_named(run: Run, model: Path, judged: Path) -> None:
    (judged.parent / "photo_green.png").unlink()

    outcome = run("calibrate", "--judged", judged, "--model", model)

    assert outcome.exit_code == 1
    assert "green" in outcome.stderr
