"""Training options, and errors for unknown ones that list the valid ones."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pixsearch_trainer
from pixsearch.errors import UsageError
from pixsearch_trainer.options import TrainOptions, flag, with_settings
from pixsearch_trainer.recipes import RECIPES, recipe_named
from pixsearch_trainer.recipes.paper import PaperRecipeOptions
from pixsearch_trainer.recipes.paper_stages import PreTrainingOptions
from pixsearch_trainer.run.stage import StageOptions

# A value other than the default for each option.
GIVEN: dict[str, Any] = {
    **{
        "recipe": "paper",
        "data": ("other.csv",),
        "images": ("a",),
        "weight": (2.0,),
        "library": "photos",
        "max_bad": 3,
    },
    **{"workers": 0, "model": "mine", "stage": ("maps",), "set": ("maps.epochs=3",), "teacher": "clip"},
    **{"teacher_texts": "texts.txt", "minutes": 5.0, "seed": 1, "precision": "bf16", "out": "elsewhere"},
    **{"pack": "pack.zip", "resume": True, "dry_run": True},
}
UNUSED = {
    "finetune": {"minutes", "workers"},
    "shipped": {"library"},
    "paper": {"library", "teacher", "teacher_texts"},
}


def test_a_setting_takes_a_number_a_truth_a_choice_a_list_a_text_or_none() -> None:
    settings = (
        *("pretraining.epochs=3", "pretraining.drops=[0.5, 1]", "pretraining.sampling=false", "pretraining.clip=2.5"),
        *("ranking.clip=none", "ranking.hardest=7", "start.resize=squash", "start.cnn=1.pth", "maps.steps=0"),
    )

    found = with_settings(PaperRecipeOptions(), settings)

    assert (found.pretraining.epochs, found.pretraining.drops, found.pretraining.sampling) == (3.0, (0.5, 1.0), False)
    assert (found.pretraining.clip, found.ranking.clip, found.ranking.hardest) == (2.5, None, 7)
    assert (found.start.resize, found.start.cnn, found.maps.steps) == ("squash", "1.pth", 0)
    assert (found.vqa, found.pretraining.batch) == (PaperRecipeOptions().vqa, 64)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("mapps.epochs=3", "unknown setting 'mapps.epochs=3'. .*: start, pretraining, ranking, vqa, nlvr2, maps"),
        ("maps.epochs", "unknown setting 'maps.epochs'. Use STAGE.FIELD=VALUE"),
        ("maps.epoch=3", "maps has no setting 'epoch'. Valid settings: epochs, steps, batch, learning_rate"),
        ("maps=3", "maps has no setting ''"),
        ("maps.epochs=many", "invalid value 'many' for maps.epochs. Expected a non-negative number"),
        ("maps.epochs=NaN", "invalid value 'NaN' for maps.epochs"),
        ("maps.batch=-4", "invalid value '-4' for maps.batch. Expected a non-negative integer"),
        ("maps.batch=2.5", "invalid value '2.5' for maps.batch"),
        ("maps.steps=true", "invalid value 'true' for maps.steps. Expected a non-negative integer or none"),
        ("pretraining.sampling=1", "invalid value '1' for pretraining.sampling. Expected true or false"),
        ('pretraining.drops=[0.5, "a"]', "invalid value .* for pretraining.drops. Expected a list such as"),
        ("start.resize=crop", "invalid value 'crop' for start.resize. Expected 'squash' or 'shorter_edge'"),
    ],
)
def test_an_unknown_stage_or_field_or_value_is_refused_with_what_there_is(setting: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        with_settings(PaperRecipeOptions(), [setting])


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", sorted(GIVEN.keys() - {"recipe"}))
def test_an_option_that_a_recipe_does_not_use_is_refused_and_no_other(recipe: str, name: str) -> None:
    options = TrainOptions(**{"recipe": recipe, "data": ("data.csv",), name: GIVEN[name]})

    if name in UNUSED[recipe]:
        with pytest.raises(
            UsageError, match=rf"{flag(name)} does not apply to --recipe {recipe}\. Leave out {flag(name)}$"
        ):
            recipe_named(recipe).settings(options)
    else:
        recipe_named(recipe).settings(options)


@pytest.mark.parametrize("setting", ["cnn.steps=30", "cnn.epochs=2"])
def test_minutes_and_a_number_of_steps_contradict_each_other_unless_the_stage_is_left_out(setting: str) -> None:
    minutes = TrainOptions(recipe="shipped", data=("data.csv",), minutes=5, set=("maps.steps=0", "cnn.batch=8"))

    recipe_named("shipped").settings(minutes)
    with pytest.raises(
        UsageError, match=rf"^--minutes and --set {setting.partition('=')[0]} both set the training time"
    ):
        recipe_named("shipped").settings(replace(minutes, set=(setting,)))


def test_stages_run_in_the_recipes_order_and_all_of_them_unless_some_are_named() -> None:
    shipped = recipe_named("shipped")

    assert shipped.chosen(TrainOptions()) == ["maps", "late", "cnn", "layers", "pixels", "joint"]
    assert shipped.chosen(TrainOptions(stage=("cnn", "maps"))) == ["maps", "cnn"]
    assert recipe_named("paper").chosen(TrainOptions()) == ["pretraining", "ranking", "maps"]
    with pytest.raises(UsageError, match=r"unknown stage 'cnn'\. Stages of --recipe finetune: maps, late"):
        recipe_named("finetune").settings(TrainOptions(stage=("cnn",)))


def test_every_option_that_a_message_names_exists_and_so_does_every_number_of_a_stage() -> None:
    """The options for `evaluate` and `calibrate` are in a separate package."""
    assert GIVEN.keys() == vars(TrainOptions()).keys()
    root, named = Path(pixsearch_trainer.__file__ or "").parent, set[str]()
    for file in root.rglob("*.py"):
        if "evaluation" not in file.parts:
            texts = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
            named.update(*(re.findall(r"--[a-z][a-z-]*", text) for text in texts if isinstance(text, str)))
    assert len(named) > 10
    assert named <= {flag(name) for name in GIVEN} | {"--language-model"}  # an option of pixsearch model get
    for recipe in RECIPES.values():
        assert all(isinstance(getattr(recipe.options, stage), StageOptions) for stage in recipe.stages)


def test_a_run_is_resumed_as_it_was_begun_but_for_where_and_how_it_runs() -> None:
    begun = TrainOptions(data=("a.csv",), set=("maps.steps=3",), seed=5, workers=4)
    options = TrainOptions(out="here", resume=True, workers=0, seed=5)

    resumed = options.resumed(json.loads(json.dumps(begun.as_json())))

    changed = {"out": "here", "resume": True, "workers": 0}
    assert resumed == TrainOptions(**{**begun.given(), **changed})


@pytest.mark.parametrize("name", sorted(GIVEN.keys() - {"out", "resume", "workers"}))
def test_resuming_with_other_options_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{flag(name)} does not match the run to resume. Leave out {flag(name)} or"):
        TrainOptions(**{name: GIVEN[name]}).resumed({"data": ["a.csv"], "seed": 5})
    with pytest.raises(UsageError, match=r"unsupported options \(learning_rate\)"):
        TrainOptions().resumed({"learning_rate": 0.1})


def test_learning_rates_rise_in_a_line_and_fall_as_half_a_cosine_or_to_a_tenth_at_each_drop() -> None:
    # The rate rises for two steps and falls for eight: cos 0, 45, 90, 135 degrees at every second step.
    cosine, drops = StageOptions(warm_up=0.2), PreTrainingOptions()

    assert [cosine.rate(step, 10) for step in (0, 1, 2, 4, 6, 8)] == pytest.approx(
        [0.5, 1, 1, 0.853553, 0.5, 0.146447], abs=1e-6
    )
    assert [drops.rate(step, 40) for step in (0, 1, 24, 25, 34, 35, 39)] == pytest.approx(
        [0.5, 1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    assert StageOptions(warm_up=0).rate(0, 4) == PreTrainingOptions(warm_up=0).rate(0, 4) == 1
