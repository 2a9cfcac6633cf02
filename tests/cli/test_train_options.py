"""What the options of `pixsearch train` mean to the trainer."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from pixsearch.errors import UsageError
from pixsearch_cli.train_cmd import train
from pixsearch_cli.train_options import (
    _ALWAYS,
    _OPTIONS_OF,
    bridge_options,
    data_sets,
    end_to_end_options,
    go_on,
    objective_options,
    recipe_of,
    seen_as,
)
from pixsearch_trainer.data.sets import DataSet
from pixsearch_trainer.end_to_end.run import EndToEndOptions
from pixsearch_trainer.objectives.contrastive import ContrastiveOptions
from pixsearch_trainer.objectives.pretraining import PreTrainingOptions
from pixsearch_trainer.objectives.ranking import RankingOptions
from pixsearch_trainer.optimisation.loop import LoopOptions
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions


def test_every_option_of_the_command_line_belongs_to_a_recipe() -> None:
    assert set(inspect.signature(train).parameters) == _ALWAYS.union(*_OPTIONS_OF.values())


@pytest.mark.parametrize(
    ("asked", "recipe"),
    [
        ({}, "bridge"),
        ({"train_cnn": True}, "contrastive"),
        ({"teacher": "clip"}, "contrastive"),
        ({"objective": "paper", "train_cnn": True}, "paper"),
        ({"task": "retrieval", "objective": "contrastive"}, "contrastive"),
        ({"task": "pretrain", "train_cnn": True}, "pretrain"),
        ({"task": "vqa"}, "vqa"),
    ],
)
def test_few_pairs_are_bridged_unless_something_else_is_meant(asked: dict[str, object], recipe: str) -> None:
    assert recipe_of(asked) == recipe


def test_a_mirror_would_make_answers_wrong() -> None:
    with pytest.raises(UsageError, match="--augment says nothing to --task vqa"):
        recipe_of({"task": "vqa", "augment": True})


def test_every_option_of_a_single_stage_reaches_the_trainer() -> None:
    asked = {
        **{"epochs": 4, "batch": 32, "train_cnn": True, "train_batch_norm": True, "augment": True, "workers": 3},
        **{"optimizer": "sgd+adamw", "learning_rate": 1e-5, "cnn_learning_rate": 1e-3, "layer_decay": 0.9},
        **{"schedule": "step", "drop": [2.0, 3.0], "warm_up": 0.1, "precision": "bf16"},
        **{"checkpoint_activations": True, "compile": True, "tensorboard": True, "cache_gb": 7.0},
        **{"seed": 5, "accumulate": 2, "clip": 0.5, "ema": 0.99, "save_steps": 10, "save_minutes": 2.0},
    }

    assert end_to_end_options(asked) == EndToEndOptions(
        epochs=4,
        batch=32,
        train_cnn=True,
        train_statistics=True,
        augment=True,
        workers=3,
        optimizer=OptimizerOptions("sgd+adamw", 1e-5, cnn_learning_rate=1e-3, layer_decay=0.9),
        schedule="step",
        drops=(2.0, 3.0),
        warm_up=0.1,
        precision="bf16",
        recompute=True,
        compile=True,
        tensorboard=True,
        cache_gb=7.0,
        loop=LoopOptions(5, 2, 0.5, 0.99, save_every_steps=10, save_every_minutes=2.0),
    )


def test_every_option_of_the_bridge_reaches_the_trainer() -> None:
    options = bridge_options(
        {"epochs": 4, "batch": 32, "pixel_steps": 5, "rerank_steps": 6, "block": 7, "late_steps": 10}
        | {"seed": 8, "cache_gb": 9.0},
        100,
    )

    assert (options.first_stage.epochs, options.first_stage.batch, options.pixel_stream.steps) == (4, 32, 5)
    assert (options.reranker.steps, options.reranker.block, options.late_interaction.steps) == (6, 7, 10)
    assert (options.loop.seed, options.cache_gb) == (8, 9.0)


@pytest.mark.parametrize(("pictures", "steps"), [(500, (0, 0)), (1999, (0, 0)), (2000, (1000, 1500))])
def test_few_pictures_do_not_train_what_re_ranks_unless_asked_to(pictures: int, steps: tuple[int, int]) -> None:
    by_default = bridge_options({}, pictures)

    assert (by_default.reranker.steps, by_default.late_interaction.steps) == steps
    assert bridge_options({"rerank_steps": 9}, pictures).reranker.steps == 9
    assert bridge_options({"late_steps": 9}, pictures).late_interaction.steps == 9


def test_objectives_have_their_own_options() -> None:
    assert objective_options({"no_mlm": True, "no_sampling": True}, "pretrain", True) == PreTrainingOptions(
        masked_words=False, sampling=False
    )
    assert objective_options({}, "paper", True) == RankingOptions()
    contrastive = {"sampled_pixels": 9, "queue": 64, "soft_labels": 0.4}
    assert objective_options(contrastive, "contrastive", True) == ContrastiveOptions(1.0, 9, 64, soft_labels=0.4)
    assert objective_options({"no_itm": True}, "contrastive", True).matching_weight == 0  # type: ignore[union-attr]


def test_sentences_that_a_teacher_chose_are_not_matched() -> None:
    options = objective_options({"teacher": "clip"}, "contrastive", all_captioned=False)

    assert isinstance(options, ContrastiveOptions)
    assert options.matching_weight == 0


def test_sets_take_their_folders_and_weights_in_order() -> None:
    asked = {"data": ["a.json", "b"], "images": ["pictures", "b"], "weight": [1.0, 0.2]}

    assert data_sets(asked) == [DataSet(Path("a.json"), Path("pictures"), 1.0), DataSet(Path("b"), Path("b"), 0.2)]
    assert data_sets({"data": ["a.json"]}) == [DataSet(Path("a.json"))]
    assert data_sets({}) == []


def test_parts_see_pictures_as_asked() -> None:
    assert seen_as({}) == {}
    assert seen_as({"edge": 800, "longest_edge": 1333, "keep_shape": True, "pool": True}) == {
        **{"input_size": 800, "longest_edge": 1333, "resize": "shorter_edge", "pool": True}
    }


def test_a_run_is_gone_on_with_as_it_was_begun_but_for_how_it_is_run() -> None:
    begun = {"batch": 8, "workers": 2}

    assert go_on({"workers": 0, "resume": True}, begun) == {"batch": 8, "workers": 0, "resume": True}
    assert go_on({"batch": 8}, begun) == begun
    with pytest.raises(UsageError, match="--batch is 8 in the run"):
        go_on({"batch": 9}, begun)
    with pytest.raises(UsageError, match="--learning-rate is its default in the run"):
        go_on({"learning_rate": 1.0}, begun)
