"""Calibration, against logits whose probabilities are known."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from pixsearch.errors import UsageError
from pixsearch.model.checkpoints import fingerprint
from pixsearch_trainer.evaluation.calibration import fit, probabilities, reliability, with_a_match
from tests.cli.conftest import Run, run
from tests.cli.test_evaluate_cmd import COLOURS, write
from tests.tiny_checkpoint import make_tiny_checkpoint

__all__ = ["run"]


def test_what_the_labels_were_drawn_by_is_found_again() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200_000, generator=generator, dtype=torch.float64) * 40 + 100
    drawn_by = torch.sigmoid(logits / 25.0 - 5.0)
    labels = torch.rand(200_000, generator=generator, dtype=torch.float64) < drawn_by

    calibration = fit(logits, labels)

    assert calibration.temperature == pytest.approx(25.0, rel=0.03)
    assert calibration.bias == pytest.approx(-5.0, rel=0.03)
    assert probabilities(logits, calibration) == pytest.approx(drawn_by, abs=0.01)


def test_the_mean_probability_is_that_of_platts_targets() -> None:
    # The likelihood's derivative by the bias is zero exactly there: 3 / 4 for the two that match, 1 / 5 for the others.
    logits, labels = torch.tensor([3.0, 1.0, 2.0, -1.0, 0.0]), torch.tensor([True, True, False, False, False])

    assert float(probabilities(logits.double(), fit(logits, labels)).mean()) == pytest.approx(
        (2 * 0.75 + 3 * 0.2) / 5, abs=1e-4
    )


@pytest.mark.parametrize("logits", [[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0]])
def test_logits_that_say_nothing_or_the_opposite_are_refused(logits: list[float]) -> None:
    with pytest.raises(UsageError, match="no higher"):
        fit(torch.tensor(logits), torch.tensor([True, True, False, False]))


def test_reliability_is_that_counted_by_hand() -> None:
    predicted = torch.tensor([0.02, 0.04, 0.31, 0.39, 0.35, 0.35, 1.0])
    labels = torch.tensor([False, True, False, True, False, False, True])

    error, bins = reliability(predicted, labels)

    assert [(one.pairs, one.share) for one in bins] == [(2, 0.5), (4, 0.25), (1, 1.0)]
    assert [one.probability for one in bins] == pytest.approx([0.03, 0.35, 1.0])
    assert error == pytest.approx((2 * 0.47 + 4 * 0.1 + 0) / 7)


def test_a_right_one_is_among_the_candidates() -> None:
    similarity = torch.tensor([[0.9, 0.8, 0.1, 0.2], [0.9, 0.8, 0.1, 0.2]])
    matches = torch.tensor([[False, False, True, True], [False, True, False, True]])
    order = torch.tensor([[0, 1], [0, 1]])

    assert with_a_match(order, similarity, matches).tolist() == [[0, 3], [0, 1]]


def test_the_command_writes_probabilities_into_the_checkpoint_and_draws_them(run: Run, tmp_path: Path) -> None:
    model = make_tiny_checkpoint(tmp_path / "model", seed=15)  # whose random logits happen to be right more often
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


def test_a_model_whose_logits_say_nothing_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    model = make_tiny_checkpoint(tmp_path / "model")
    before = (model / "config.json").read_text()

    outcome = run("calibrate", "--data", write(tmp_path, val=COLOURS), "--model", model, "--candidates", "4")

    assert outcome.exit_code == 2
    assert "no higher" in outcome.stderr
    assert (model / "config.json").read_text() == before


def test_one_picture_is_too_little(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, val=COLOURS[:1])

    outcome = run("calibrate", "--data", data, "--model", make_tiny_checkpoint(tmp_path / "model"))

    assert outcome.exit_code == 2
    assert "too little" in outcome.stderr
