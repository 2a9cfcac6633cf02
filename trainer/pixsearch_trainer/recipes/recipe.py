"""A recipe: stages in order, their numbers, and the options that it uses."""

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
"""Builds a stage from the material and the stage's options."""

_USED_BY_SOME = ("library", "teacher", "teacher_texts", "minutes", "workers")


@dataclass(frozen=True)
class Task:
    """The task of a network, and the data that teaches it."""

    name: str = "retrieval"
    """The task in a checkpoint's config."""
    item: type[Item] = CaptionedPicture
    read: Callable[[Path, Path | None], tuple[Sequence[Item], list[Problem]]] | None = None
    """Reads the data and its folder of pictures, unless they are captioned pictures."""
    answers: Callable[[Sequence[Any]], tuple[str, ...]] = lambda _items: ()
    """Returns the answers that the network can give, by the training items."""


RETRIEVAL = Task()


@dataclass(frozen=True)
class Recipe:
    """Stages by name, in their order; what --set may change of each."""

    options: Any
    """A dataclass with a field for each stage's options, and perhaps `start`."""
    stages: Mapping[str, Build]
    uses: frozenset[str] = frozenset()
    """Which of the options that only some recipes use."""
    by_default: tuple[str, ...] = ()
    """Stages that run unless others are named; empty for all."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """The tasks of stages that do not train for retrieval; such a stage runs alone."""
    calibrates: bool = False
    adjust: Callable[[Any, int], Any] = lambda settings, _pictures: settings
    """Changes the options, as settings left them, by the number of training pictures."""

    def settings(self, options: TrainOptions) -> Any:
        """Return this recipe's options with the settings of `--set`.

        Raises:
            UsageError: an option that the recipe does not use, or an unknown stage or setting.
        """
        if "library" not in self.uses and not options.data:
            raise UsageError(f"--recipe {options.recipe} needs --data", "Name captioned pictures with --data")
        for name in _USED_BY_SOME:
            if name not in self.uses and getattr(options, name) is not None:
                raise UsageError(f"--recipe {options.recipe} does not use {flag(name)}", f"Leave out {flag(name)}")
        for name in options.stage:
            if name not in self.stages:
                raise UsageError(f"unknown stage {name!r}", f"--recipe {options.recipe} has: {', '.join(self.stages)}")
            if name in self.tasks and len(options.stage) > 1:
                raise UsageError(f"--stage {name} cannot be combined with other stages", "Run each by itself")
        for setting in options.set if options.minutes is not None else ():
            key, _, value = setting.partition("=")
            if key.endswith((".steps", ".epochs")) and value != "0":
                raise UsageError(f"--minutes and --set {key} both choose how long to train", "Leave out one of them")
        return with_settings(self.options, options.set)

    def chosen(self, options: TrainOptions) -> list[str]:
        """Return the names of the stages to run, in the recipe's order."""
        names = options.stage or self.by_default or tuple(self.stages)
        return [name for name in self.stages if name in names]

    def task(self, options: TrainOptions) -> Task:
        """Return what the stages to run train for."""
        return self.tasks.get(self.chosen(options)[0], RETRIEVAL)

    def plan(self, options: TrainOptions, settings: Any, material: Material) -> list[PlannedStage]:
        """Return the stages to run, without any that have no steps; a dry run has one step of each.

        Raises UsageError where none is left.
        """
        each = options.dry_run or bool(options.stage)  # a dry run tries all stages, and one that is named runs
        settings = self.adjust(settings, sys.maxsize if each else len(material.training))
        planned = []
        for name in self.chosen(options):
            numbers: StageOptions = getattr(settings, name)
            if numbers.steps != 0:
                numbers = dataclasses.replace(numbers, steps=1) if options.dry_run else numbers
                build = self.stages[name]
                planned.append(PlannedStage(name, numbers.share, lambda b=build, n=numbers: b(material, n)))  # type: ignore[misc]
        if not planned:
            raise UsageError("no stage has any steps", "Leave out --set STAGE.steps=0, or name other stages")
        return planned
