"""`paper`: its optimisers, its parts, and VQA and NLVR2 scored on answers that can be counted by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixsearch.errors import Interrupted
from pixsearch.model.checkpoints import load_network, save_checkpoint
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.vqa import Question
from pixsearch_trainer.recipes.paper import PaperRecipeOptions
from pixsearch_trainer.recipes.paper_stages import nlvr2_stage, ranking_stage, vqa_stage
from pixsearch_trainer.starting_weights import for_task
from tests.other_tasks import write_nlvr2, write_vqa
from tests.trainer.conftest import (
    Fit,
    Loaded,
    MaterialOf,
    Pictures,
    assert_ended_alike,
    figures_in,
    logged_in,
    stop_at,
)
from tests.trainer.made_up import batch_of

PAPER = PaperRecipeOptions()


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data for other tasks."""
    folder = tmp_path_factory.mktemp("tasks")
    write_vqa(folder / "vqa", {"train2014": 20, "val2014": 4})
    write_nlvr2(folder / "nlvr2", {"train": 16, "dev": 4})
    return folder


def ids_of(parameters: Iterable[torch.Tensor]) -> set[int]:
    return {id(parameter) for parameter in parameters}


def test_sgd_has_the_cnn_and_adamw_all_else_with_the_papers_numbers(material_of: MaterialOf, packed: Pictures) -> None:
    material, options = material_of(packed), PAPER.ranking
    network = material.network

    adamw, sgd = ranking_stage(material, options).optimizers

    [cnn] = sgd.param_groups
    assert (type(adamw), type(sgd)) == (torch.optim.AdamW, torch.optim.SGD)
    assert ids_of(cnn["params"]) == ids_of(network.model.backbone.parameters())
    assert (cnn["lr"], cnn["weight_decay"], cnn["momentum"]) == (1e-2, 5e-4, 0.9)
    group_of = {id(parameter): group for group in adamw.param_groups for parameter in group["params"]}
    ours = {"similarity_weight", "late_weight", "late_interaction.scale"}  # not in the paper
    above = {name: p for name, p in network.named_parameters() if not name.startswith("model.backbone")}
    assert group_of.keys() == {id(parameter) for name, parameter in above.items() if name not in ours}
    for name, decay in (("itm_head.0.weight", 0.01), ("itm_head.0.bias", 0), ("model.pixel_norm.weight", 0)):
        group = group_of[id(above[name])]
        assert (group["lr"], group["weight_decay"]) == (1e-4, decay)
    assert (options.epochs, options.negatives, options.hardest) == (4, 20, 5)
    assert (PAPER.pretraining.epochs, *(40 * drop for drop in PAPER.pretraining.drops)) == (40, 25, 35)

    [alone] = ranking_stage(material, replace(options, train_cnn=False)).optimizers
    assert not any(ids_of(group["params"]) & ids_of(cnn["params"]) for group in alone.param_groups)


@pytest.mark.slow
def test_pre_training_learns_to_predict_words(fit: Fit, tmp_path: Path) -> None:
    settings = ("pretraining.steps=150", "pretraining.train_cnn=false", "pretraining.learning_rate=1e-3")

    fit(recipe="paper", stage=("pretraining",), set=settings)

    losses = [line["mlm"] for line in logged_in(tmp_path / "out")]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize("train_cnn", ["true", "false"])
def test_pictures_of_all_shapes_are_trained_on_together(
    train_cnn: str, fit: Fit, loaded: Loaded, tmp_path: Path
) -> None:
    network, processor = loaded
    network.config = processor.config = replace(network.config, resize="shorter_edge", longest_edge=160)
    save_checkpoint(tmp_path / "start", network, processor)
    rows = ["image,caption,split"]
    for number, size in enumerate([(64, 64), (64, 128), (160, 64), (100, 70), (64, 300), (80, 80), (128, 64)]):
        Image.effect_noise(size, 80).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{chr(97 + number)} b,{'val' if number > 4 else 'train'}")
    (tmp_path / "data.csv").write_text("\n".join(rows))
    settings = (f"{stage}.train_cnn={train_cnn}" for stage in ("pretraining", "ranking"))
    steps = (f"{stage}.steps=2" for stage in ("pretraining", "ranking", "maps"))

    fit(
        recipe="paper",
        set=(*settings, *steps, "ranking.negatives=3"),
        data=tmp_path / "data.csv",
        model=tmp_path / "start",
    )

    assert len(logged_in(tmp_path / "out")) == 3
    assert np.isfinite([line["loss"] for line in logged_in(tmp_path / "out")]).all()
    assert load_network(tmp_path / "out")[0].config.resize == "shorter_edge"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretraining", "ranking", "vqa", "nlvr2"])
def test_a_stage_with_a_cnn_in_training_and_augmented_pictures_resumes_bit_for_bit(
    stage: str, fit: Fit, pack_with_val: Path, tasks: Path, tmp_path: Path
) -> None:
    data = tasks / stage if (tasks / stage).exists() else pack_with_val
    settings = (f"{stage}.steps=4", f"{stage}.augment=true", f"{stage}.batch=8")
    options = {"recipe": "paper", "stage": (stage,), "set": settings, "data": data}

    fit(**options, out=tmp_path / "whole", workers=2)
    with pytest.raises(Interrupted):
        fit(stop_at(stage, 2), **options, out=tmp_path / "halves")
    torch.manual_seed(99)
    fit(**options, out=tmp_path / "halves", resume=True)

    assert_ended_alike(tmp_path / "halves", tmp_path / "whole")


@pytest.mark.parametrize(
    ("task", "answers", "steps", "judged"),
    [
        # At first, every answer is red, which is right for two of four squares. Then, every answer is the one that
        # eight of ten people gave.
        ("vqa", ("red", "blue"), 40, [{"accuracy": 50}, {"accuracy": 100}]),
        # At first, every answer is false, which is right for three of four, each with its own sentence.
        ("nlvr2", (), 60, [{"accuracy": 75, "consistency": 75}, {"accuracy": 100, "consistency": 100}]),
    ],
)
def test_another_task_is_learned_from_a_head_of_zeros_and_judged_by_its_own_measure(
    task: str,
    answers: tuple[str, ...],
    steps: int,
    judged: list[dict[str, float]],
    fit: Fit,
    loaded: Loaded,
    tasks: Path,
    tmp_path: Path,
) -> None:
    network, processor = for_task(task, *loaded, answers)
    for name, parameter in network.named_parameters():
        if name.startswith(("answer_head.3", "truth_head.3")):
            torch.nn.init.zeros_(parameter)
    save_checkpoint(tmp_path / "start", network, processor)
    settings = (f"{task}.steps={steps}", f"{task}.learning_rate=3e-3", f"{task}.train_cnn=false")

    fit(recipe="paper", stage=(task,), data=tasks / task, model=tmp_path / "start", set=settings)

    looks = figures_in(tmp_path / "out")
    assert [{name: look[name] for name in judged[0]} for look in looks] == judged
    assert load_network(tmp_path / "out")[0].config.answers == answers


def test_a_question_without_a_common_answer_is_left_out_and_no_picture_is_mirrored(
    material_of: MaterialOf, loaded: Loaded, packed: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrored: list[object] = []
    monkeypatch.setattr("pixsearch_trainer.batches.sources.mirror", mirrored.append)
    answered = zip(packed, ["yes", "maybe", "no"] * 4, strict=False)
    questions = [Question(picture.file, "is it", (answer,) * 10, "train") for picture, answer in answered]

    stage = vqa_stage(material_of(questions, for_task("vqa", *loaded, ("yes", "no"))), replace(PAPER.vqa, augment=True))

    known = [str(question.picture) for question in questions if question.answers[0] != "maybe"]
    assert sorted(next(stage.batches(0)).names) == sorted(known)
    assert not mirrored  # because "left" is an answer


def with_answers(head: torch.nn.Module, *logits: float) -> None:
    """Make a head return the same logits for any input."""
    torch.nn.init.zeros_(head.get_parameter("3.weight"))
    head.get_parameter("3.bias").data.copy_(torch.tensor(logits))


def test_a_question_costs_the_cross_entropies_of_all_answers_by_their_worth(
    material_of: MaterialOf, loaded: Loaded, packed: Pictures
) -> None:
    # The sigmoids are 3/4, 1/2 and 1/4. For question 2 the first two answers are worth 1 and 0.3. For
    # question 1 the last one is worth 1.
    vqa, processor = for_task("vqa", *loaded, ("yes", "no", "perhaps"))
    with_answers(vqa.get_submodule("answer_head"), math.log(3), 0.0, -math.log(3))
    answers_of_people = [("no",) * 10, ("perhaps",) * 10, ("yes",) * 9 + ("no",)]
    questions = [
        Question(picture.file, "is it", one, "train") for picture, one in zip(packed, answers_of_people, strict=False)
    ]

    stage = vqa_stage(material_of(questions, (vqa, processor)), PAPER.vqa)

    first, second = 2 * math.log(4 / 3) + math.log(2), math.log(4) + math.log(2) + math.log(4)
    assert stage.objective(batch_of([2, 1], [0, 1]))["loss"].item() == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_statement_costs_the_cross_entropy_of_its_truth(
    material_of: MaterialOf, loaded: Loaded, packed: Pictures
) -> None:
    # The probability of true is 3/4. Statement 2 is about pictures 4 and 5, statement 0 about 0 and 1.
    nlvr2, processor = for_task("nlvr2", *loaded)
    with_answers(nlvr2.get_submodule("truth_head"), 0.0, math.log(3))
    one, other = packed[0].file, packed[1].file
    statements = [Statement(one, other, "both", truth, "train", "both") for truth in (True, True, False)]

    stage = nlvr2_stage(material_of(statements, (nlvr2, processor)), PAPER.nlvr2)

    loss = stage.objective(batch_of([4, 5, 0, 1], [0, 0, 1, 1]))["loss"].item()
    assert loss == pytest.approx((math.log(4) + math.log(4 / 3)) / 2, rel=1e-5)
