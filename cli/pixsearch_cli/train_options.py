"""What was asked of `pixsearch train`: which options go together, and what they mean to the trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from pixsearch.errors import UsageError
from pixsearch.storage import to_path

if TYPE_CHECKING:
    from pixsearch_trainer.bridge.run import BridgeOptions
    from pixsearch_trainer.data.sets import DataSet
    from pixsearch_trainer.end_to_end.pairs import ObjectiveOptions
    from pixsearch_trainer.end_to_end.run import EndToEndOptions

Asked = Mapping[str, Any]
"""The options that were given, by their Python names; what was not given has the trainer's default."""

Task = Literal["retrieval", "pretrain", "vqa", "nlvr2"]
Objective = Literal["bridge", "contrastive", "paper"]

_PARTS = {"cnn", "language_model", "edge", "longest_edge", "keep_shape", "pool"}
_ALWAYS = {
    *("data", "images", "weight", "library", "max_bad", "workers", "model", "backbone", *_PARTS),
    *("task", "objective", "epochs", "batch", "accumulate", "clip", "ema", "precision"),
    *("out", "resume", "dry_run", "seed", "save_steps", "save_minutes", "tensorboard", "cache_gb"),
}
_END_TO_END = {
    *("train_cnn", "train_batch_norm", "augment", "optimizer", "learning_rate", "cnn_learning_rate", "layer_decay"),
    *("schedule", "drop", "warm_up", "checkpoint_activations", "compile"),
}
_OPTIONS_OF = {
    "bridge": {"pixel_steps", "rerank_steps", "late_steps", "block"},
    "contrastive": _END_TO_END | {"no_itm", "sampled_pixels", "queue", "soft_labels", "teacher", "teacher_texts"},
    "paper": _END_TO_END,
    "pretrain": _END_TO_END | {"no_mlm", "no_itm", "no_sampling"},
    "vqa": _END_TO_END - {"augment"},  # "left" is an answer, and a mirror makes it wrong
    "nlvr2": _END_TO_END - {"augment"},
}
_ENOUGH_TO_RERANK = 2000
"""Pictures; what re-ranks and learned from 500 orders others worse than before (docs/experiments.md)."""
_MAY_CHANGE = {"workers", "save_steps", "save_minutes", "tensorboard", "cache_gb", "resume", "dry_run", "out"}
"""What a run that is gone on with may be told anew."""


def recipe_of(asked: Asked) -> str:
    """The kind of run: a task, or for retrieval its objective.

    Raises:
        UsageError: an option was given that says nothing to it, or two that exclude each other.
    """
    task = asked.get("task", "retrieval")
    if task == "retrieval":
        recipe: str = asked.get("objective", "contrastive" if {"train_cnn", "teacher"} & asked.keys() else "bridge")
    elif "objective" in asked:
        raise UsageError("--objective is of --task retrieval", f"Leave it out with --task {task}")
    else:
        recipe = task
    for name in asked:
        if name not in _ALWAYS | _OPTIONS_OF[recipe]:
            takers = [_way(other) for other, names in _OPTIONS_OF.items() if name in names]
            raise UsageError(f"{_option(name)} says nothing to {_way(recipe)}", f"It goes with {' or '.join(takers)}")
    if "model" in asked and "backbone" in asked:
        raise UsageError("--model and --backbone both say where to start", "Give one of them")
    if "backbone" not in asked and (parts := sorted(_PARTS & asked.keys())):
        raise UsageError(f"{_option(parts[0])} is of a start from parts", "Give --backbone with it")
    if "teacher_texts" in asked and "teacher" not in asked:
        raise UsageError("--teacher-texts are for a teacher", "Give --teacher with it")
    if "drop" in asked and asked.get("schedule") != "step":
        raise UsageError("--drop is of the step schedule", "Give --schedule step with it")
    return recipe


def go_on(asked: Asked, begun: Asked) -> dict[str, Any]:
    """What to go on with: what the run was begun with, and what may be told anew.

    Raises UsageError where something else was given otherwise.
    """
    for name, value in asked.items():
        if name not in _MAY_CHANGE and begun.get(name) != value:
            had = f"{begun[name]}" if name in begun else "its default"
            raise UsageError(
                f"{_option(name)} is {had} in the run that you go on with",
                "Leave it out, or begin anew without --resume",
            )
    return {**begun, **asked}


def data_sets(asked: Asked) -> list[DataSet]:
    """The sets that --data, --images and --weight name. Raises UsageError where their counts differ."""
    from pixsearch_trainer.data.sets import DataSet

    data = asked.get("data", [])
    images: list[str | None] = asked.get("images", []) or [None] * len(data)
    weights = asked.get("weight", []) or [1.0] * len(data)
    for name, given in (("images", images), ("weight", weights)):
        if len(given) != len(data):
            raise UsageError(f"{len(data)} --data and {len(given)} --{name}", f"Give each --data its own --{name}")
    if any(weight <= 0 for weight in weights):
        raise UsageError("a --weight is not positive", "Leave a set out rather than weigh it 0")
    return [
        DataSet(to_path(file), None if folder is None else to_path(folder), weight)
        for file, folder, weight in zip(data, images, weights, strict=True)
    ]


def seen_as(asked: Asked) -> dict[str, object]:
    """How a network that is assembled from parts sees pictures, as fields of its config."""
    fields = _picked(asked, input_size="edge", longest_edge="longest_edge", pool="pool")
    return fields | ({"resize": "shorter_edge"} if asked.get("keep_shape") else {})


def bridge_options(asked: Asked, pictures: int) -> BridgeOptions:
    """For `train_bridge`, on so many pictures."""
    from pixsearch_trainer.bridge.first_stage import FirstStageOptions
    from pixsearch_trainer.bridge.late_interaction import LateInteractionOptions
    from pixsearch_trainer.bridge.pixel_stream import PixelStreamOptions
    from pixsearch_trainer.bridge.reranker import RerankerOptions
    from pixsearch_trainer.bridge.run import BridgeOptions
    from pixsearch_trainer.optimisation.loop import LoopOptions

    reranking = {} if pictures >= _ENOUGH_TO_RERANK else {"steps": 0}
    return BridgeOptions(
        first_stage=FirstStageOptions(**_picked(asked, epochs="epochs", batch="batch")),
        pixel_stream=PixelStreamOptions(**_picked(asked, steps="pixel_steps")),
        reranker=RerankerOptions(**reranking | _picked(asked, steps="rerank_steps", block="block")),
        late_interaction=LateInteractionOptions(**reranking | _picked(asked, steps="late_steps")),
        loop=LoopOptions(**_loop(asked)),
        **_picked(asked, precision="precision", tensorboard="tensorboard", cache_gb="cache_gb"),
    )


def objective_options(asked: Asked, recipe: str, all_captioned: bool) -> ObjectiveOptions:
    """What is minimised, for `train_on_pairs`.

    Args:
        all_captioned: by people; a sentence that a teacher chose for a photo is nothing that ITM could learn from.
    """
    from pixsearch_trainer.objectives.contrastive import ContrastiveOptions
    from pixsearch_trainer.objectives.pretraining import PreTrainingOptions
    from pixsearch_trainer.objectives.ranking import RankingOptions

    if recipe == "pretrain":
        switches = {"masked_words": "no_mlm", "matching": "no_itm", "sampling": "no_sampling"}
        return PreTrainingOptions(**{name: not asked.get(switch) for name, switch in switches.items()})
    if recipe == "paper":
        return RankingOptions()
    matching: dict[str, Any] = {} if all_captioned and not asked.get("no_itm") else {"matching_weight": 0.0}
    return ContrastiveOptions(
        **matching, **_picked(asked, sampled_pixels="sampled_pixels", queue="queue", soft_labels="soft_labels")
    )


def end_to_end_options(asked: Asked) -> EndToEndOptions:
    """For a run that is a single stage."""
    from pixsearch_trainer.end_to_end.run import EndToEndOptions
    from pixsearch_trainer.optimisation.loop import LoopOptions
    from pixsearch_trainer.optimisation.optimizers import OptimizerOptions

    optimizer = _picked(
        asked,
        kind="optimizer",
        learning_rate="learning_rate",
        cnn_learning_rate="cnn_learning_rate",
        layer_decay="layer_decay",
    )
    names = (
        *("epochs", "batch", "train_cnn", "augment", "workers", "cache_gb"),
        *("schedule", "warm_up", "precision", "compile", "tensorboard"),
    )
    return EndToEndOptions(
        optimizer=OptimizerOptions(**optimizer),
        drops=tuple(asked.get("drop", ())),
        loop=LoopOptions(**_loop(asked)),
        **_picked(asked, train_statistics="train_batch_norm", recompute="checkpoint_activations"),
        **_picked(asked, **{name: name for name in names}),
    )


def one_step(options: BridgeOptions | EndToEndOptions) -> Any:
    """The same, with a single step of each stage."""
    from pixsearch_trainer.bridge.run import BridgeOptions

    if isinstance(options, BridgeOptions):
        return dataclasses.replace(
            options,
            first_stage=dataclasses.replace(options.first_stage, epochs=min(1, options.first_stage.epochs)),
            pixel_stream=dataclasses.replace(options.pixel_stream, steps=min(1, options.pixel_stream.steps)),
            reranker=dataclasses.replace(options.reranker, steps=min(1, options.reranker.steps)),
            late_interaction=dataclasses.replace(
                options.late_interaction, steps=min(1, options.late_interaction.steps)
            ),
        )
    return dataclasses.replace(options, epochs=1e-9)


def _loop(asked: Asked) -> dict[str, Any]:
    names = ("seed", "accumulate", "clip", "ema")
    return _picked(
        asked,
        save_every_steps="save_steps",
        save_every_minutes="save_minutes",
        **{name: name for name in names},
    )


def _picked(asked: Asked, **names: str) -> dict[str, Any]:
    """Those that were given of some options, under the names by which the trainer knows them."""
    return {trainers: asked[given] for trainers, given in names.items() if given in asked}


def _way(recipe: str) -> str:
    return f"--objective {recipe}" if recipe in get_args(Objective) else f"--task {recipe}"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
