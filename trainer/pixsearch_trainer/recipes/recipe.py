"""Define recipes: their stages in order, the options of each stage, and the command-line options they support."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixsearch.errors import UsageError
from pixsearch_trainer.data.pack import Item
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.options import TrainOptions, flag, with_settings
from pixsearch_trainer.recipes.material import Material
from pixsearch_trainer.run.run import PlannedStage
from pixsearch_trainer.run.stage import Stage, StageOptions

Build = Callable[[Material, Any], Stage]
"""A function that builds a stage from the material and the options of the stage."""

_USED_BY_SOME = ("library", "teacher", "teacher_texts", "minutes", "workers")


@dataclass(frozen=True)
class Task:
    """The task of a network, and how its data is read."""

    name: str = "retrieval"
    """The name of the task in a checkpoint's config."""
    item: type[Item] = CaptionedPicture
    """The type of the items in the data."""
    read: Callable[[Path, Path | None], tuple[Sequence[Item], list[Problem]]] | None = None
    """A function that reads the data, given its path and the folder of its pictures; None for captioned pictures."""
    answers: Callable[[Sequence[Any]], tuple[str, ...]] = lambda _items: ()
    """A function that returns the possible answers of the network, given the training items."""


RETRIEVAL = Task()


@dataclass(frozen=True)
class Recipe:
    """A sequence of stages, and their options."""

    options: Any
    """A dataclass with one field per stage for its options, and optionally `start`. `--set` overrides them."""
    stages: Mapping[str, Build]
    """The functions that build the stages, by name, in the order of training."""
    uses: frozenset[str] = frozenset()
    """The names of the optional command-line options that this recipe supports (see `_USED_BY_SOME`)."""
    by_default: tuple[str, ...] = ()
    """The stages that run without `--stage`; empty for all."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """The tasks of stages that train for something other than retrieval. Such a stage runs alone."""
    calibrates: bool = False
    """True if the finished checkpoint is calibrated on val."""
    adjust: Callable[[Any, int], Any] = lambda settings, _pictures: settings
    """A function that adapts the options, with settings already applied, to the number of training pictures."""

    def settings(self, options: TrainOptions) -> Any:
        """Return this recipe's options, with the settings from `--set` applied.

        Raises:
            UsageError: an option does not apply to the recipe, or a stage or setting is unknown.
        """
        if "library" not in self.uses and not options.data:
            raise UsageError(f"--recipe {options.recipe} requires --data", "Use --data with captioned pictures")
        for name in _USED_BY_SOME:
            if name not in self.uses and getattr(options, name) is not None:
                raise UsageError(f"{flag(name)} does not apply to --recipe {options.recipe}", f"Leave out {flag(name)}")
        for name in options.stage:
            if name not in self.stages:
                raise UsageError(
                    f"unknown stage {name!r}", f"Stages of --recipe {options.recipe}: {', '.join(self.stages)}"
                )
            if name in self.tasks and len(options.stage) > 1:
                raise UsageError(f"--stage {name} cannot be combined with other stages", "Run this stage separately")
        for setting in options.set if options.minutes is not None else ():
            key, _, value = setting.partition("=")
            if key.endswith((".steps", ".epochs")) and value != "0":
                raise UsageError(f"--minutes and --set {key} both set the training time", "Omit one of them")
        return with_settings(self.options, options.set)

    def chosen(self, options: TrainOptions) -> list[str]:
        """Return the names of the stages to run, in the recipe's order."""
        names = options.stage or self.by_default or tuple(self.stages)
        return [name for name in self.stages if name in names]

    def task(self, options: TrainOptions) -> Task:
        """Return the task that the chosen stages train for."""
        return self.tasks.get(self.chosen(options)[0], RETRIEVAL)

    def plan(self, options: TrainOptions, settings: Any, material: Material) -> list[PlannedStage]:
        """Return the stages to run, skipping those with no steps. In a dry run, each stage has one step.

        Raises UsageError if no stage has any steps.
        """
        each = options.dry_run or bool(
            options.stage
        )  # a dry run tries all stages, and stages named with --stage always run
        settings = self.adjust(settings, sys.maxsize if each else len(material.training))
        planned = []
        for name in self.chosen(options):
            numbers: StageOptions = getattr(settings, name)
            if numbers.steps != 0:
                numbers = dataclasses.replace(numbers, steps=1) if options.dry_run else numbers
                build = self.stages[name]
                planned.append(PlannedStage(name, numbers.share, lambda b=build, n=numbers: b(material, n)))  # type: ignore[misc]
        if not planned:
            raise UsageError("no stage has any steps", "Remove --set STAGE.steps=0, or choose different stages")
        return planned
