"""`shipped`: the parts that each stage trains, a whole run stopped in each stage, and its time limit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from pixsearch.errors import Interrupted
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch_trainer.evaluation.encoding import encode
from pixsearch_trainer.evaluation.measure import EvaluationOptions, evaluate
from pixsearch_trainer.options import with_settings
from pixsearch_trainer.recipes.shipped import SHIPPED
from pixsearch_trainer.run.loop import Loop
from pixsearch_trainer.run.state import RunFolder
from tests.trainer.conftest import Fit, Loaded, MaterialOf, Pictures, assert_ended_alike, figures_in, stop_at

SETTINGS = (
    *("maps.steps=5", "late.steps=4", "cnn.steps=4", "cnn.batch=8", "layers.steps=4", "layers.batch=8"),
    *("pixels.steps=4", "joint.steps=4", "joint.batch=2", "joint.block=4"),
)
PIXELS = ("model.pixel_projection", "model.pixel_norm", "model.semantic_embedding")
STREAMS = ("maps", "late_interaction")
# The parts that each stage trains, and their learning rates. See docs/history.md for the numbers.
TRAINED: dict[str, dict[str, float]] = {
    "maps": {"maps": 1e-3},
    "late": {"late_interaction": 1e-3, "late_interaction.scale": 5e-2},
    "cnn": {"model.backbone": 2e-4, **dict.fromkeys(STREAMS, 1e-3)},
    "layers": {"model.backbone": 3e-4, "model.layers": 2e-5, **dict.fromkeys(STREAMS, 1e-3)},
    "pixels": dict.fromkeys(PIXELS, 1e-3),
    "joint": {"model.layers": 1e-4, **dict.fromkeys(("itm_head", *PIXELS), 2e-4), **dict.fromkeys(STREAMS, 5e-5)}
    | {"late_weight": 2e-2},
}


@pytest.mark.parametrize("name", TRAINED)
def test_a_stage_trains_what_it_says_and_nothing_else_and_a_rehearsal_nothing_at_all(
    name: str, loaded: Loaded, material_of: MaterialOf, packed: Pictures
) -> None:
    def touched() -> set[str]:
        return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}

    network = loaded[0]
    if name == "joint":
        network.late_interaction.scale.data.fill_(20.0)  # else its gate stays closed
    material, options = material_of(packed), with_settings(SHIPPED.options, SETTINGS)
    stage = SHIPPED.stages[name](material, getattr(options, name))
    assert network.model.layers.training is (name in ("layers", "joint"))  # else they would train without dropout
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    rates = {id(p): group["lr"] for one in stage.optimizers for group in one.param_groups for p in group["params"]}
    trained = {name: rates[id(p)] for name, p in network.named_parameters() if p.requires_grad}

    loop = Loop(stage, name, 0, material.run.accelerator, seed=0)
    loop.rehearse(budget_s=0)
    assert not touched()
    assert not any(optimizer.state for optimizer in stage.optimizers)
    for _ in loop.steps(0):
        pass
    assert touched() == trained.keys()
    names = [one for one, _ in network.named_parameters()]
    expected = {one: rate for part, rate in TRAINED[name].items() for one in names if f"{one}.".startswith(f"{part}.")}
    assert trained == expected


@pytest.mark.parametrize("name", ["late", "cnn", "joint"])
def test_a_stage_that_trains_late_interaction_sets_the_weight_of_its_scores_in_a_match(
    name: str, loaded: Loaded, material_of: MaterialOf, packed: Pictures
) -> None:
    options = with_settings(SHIPPED.options, (*SETTINGS, f"{name}.similarity_weight=33"))
    SHIPPED.stages[name](material_of(packed), getattr(options, name))

    assert loaded[0].similarity_weight.item() == 33


@pytest.mark.slow
def test_a_whole_run_that_is_stopped_in_each_stage_ends_bit_for_bit_as_one_that_was_not(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "end", lambda folder: None)  # checkpoints are fp16, saved states are not
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(recipe="shipped", set=SETTINGS, out=whole, workers=2)

    for number, stage in enumerate(TRAINED):
        torch.manual_seed(number)  # a different process has different generators
        with pytest.raises(Interrupted, match=rf"stopped after step 2 of \d \({stage}\)"):
            fit(stop_at(stage, 2), recipe="shipped", set=SETTINGS, out=parts, resume=number > 0)
    fit(out=parts, resume=True)

    for name, tensor in RunFolder(whole).kept("best", 5)["network"].items():
        assert torch.equal(tensor, RunFolder(parts).kept("best", 5)["network"][name]), name
    assert_ended_alike(parts, whole)


@pytest.mark.slow
def test_a_stage_takes_the_minutes_that_it_was_given(fit: Fit, tmp_path: Path) -> None:
    took = []
    for attempt in ("first", "second"):  # the load on the machine may change between attempts
        began = time.monotonic()
        fit(recipe="shipped", stage=("cnn",), minutes=3.0, out=tmp_path / attempt)
        took.append((time.monotonic() - began) / 60)
        last = figures_in(tmp_path / attempt)[-1]
        assert last["step"] == last["steps"] > 1
        if 2.5 < took[-1] < 3.5:
            return
    pytest.fail(f"3 minutes took {took}")


@pytest.mark.slow
def test_a_tiny_network_learns_32_pictures_by_heart_in_both_stages_of_a_search_and_both_directions(
    fit: Fit, packed: Pictures, mosaics: Pictures, tmp_path: Path
) -> None:
    """Nothing uses dropout or softening, and the similarity has no weight in the joint stream's logit."""
    zeros = {
        "maps": ("softness", "feature_dropout", "hidden_dropout"),
        "pixels": ("softness", "feature_dropout"),
        "joint": (
            *("softness", "feature_dropout", "hidden_dropout", "pixel_dropout", "joint_softness"),
            *("drift_weight", "mlm_weight", "similarity_weight"),
        ),
    }
    settings = [f"{stage}.{name}=0" for stage, names in zeros.items() for name in names]
    settings += ["maps.steps=150", "maps.learning_rate=3e-3", "pixels.steps=50", "joint.steps=400", "joint.batch=1"]
    settings += ["joint.learning_rate=1e-3", "joint.head_learning_rate=1e-3"]

    fit(recipe="shipped", stage=("maps", "pixels", "joint"), set=tuple(settings), data=packed[0].file.parent)

    runtime = PixelBertRuntime(tmp_path / "out")
    found = evaluate(runtime, encode(runtime, mosaics), EvaluationOptions((32,), sample=32))
    for direction in (found.text_to_image, found.image_to_text):
        assert direction.first_stage.r1 > 90
        assert direction.reranked[32].r1 > 70  # 3 by chance; rounding, and so the result, differs between processors
