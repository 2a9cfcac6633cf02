"""What a recipe is: stages in order, their numbers, and the options that it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pixsearch.errors import UsageError
from pixsearch_trainer.options import TrainOptions, flag, with_settings
from pixsearch_trainer.recipes.material import Material
from pixsearch_trainer.run.run import PlannedStage
from pixsearch_trainer.run.stage import Stage, StageOptions

Build = Callable[[Any, Any], Stage]
"""Builds a stage from the material and the stage's options."""

_USED_BY_SOME = ("library", "teacher", "teacher_texts", "minutes", "workers")


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
    calibrates: bool = False
    adjust: Callable[[Any, int], Any] | None = None
    """Changes the options, as settings left them, by the number of training pictures."""

    def settings(self, asked: TrainOptions) -> Any:
        """Return this recipe's options with the settings asked for.

        Raises:
            UsageError: an option that the recipe does not use, or an unknown stage or setting.
        """
        if "library" not in self.uses and not asked.data:
            raise UsageError(f"--recipe {asked.recipe} needs --data", "Name captioned pictures with --data")
        for name in _USED_BY_SOME:
            if name not in self.uses and getattr(asked, name) is not None:
                raise UsageError(f"--recipe {asked.recipe} does not use {flag(name)}", f"Leave out {flag(name)}")
        for name in asked.stage:
            if name not in self.stages:
                raise UsageError(f"unknown stage {name!r}", f"--recipe {asked.recipe} has: {', '.join(self.stages)}")
        for setting in asked.set if asked.minutes is not None else ():
            key, _, value = setting.partition("=")
            if key.endswith((".steps", ".epochs")) and value != "0":
                raise UsageError(f"--minutes and --set {key} both choose how long to train", "Leave out one of them")
        return with_settings(self.options, asked.set)

    def chosen(self, asked: TrainOptions) -> list[str]:
        """Return the names of the stages to run, in the recipe's order."""
        names = asked.stage or self.by_default or tuple(self.stages)
        return [name for name in self.stages if name in names]

    def plan(self, names: Sequence[str], settings: Any, material: Material) -> list[PlannedStage]:
        """Return the stages of these names, without any that have no steps.

        Raises UsageError where none is left.
        """
        planned = []
        for name in names:
            options: StageOptions = getattr(settings, name)
            if options.steps != 0:
                build = self.stages[name]
                planned.append(PlannedStage(name, options.share, lambda b=build, o=options: b(material, o)))  # type: ignore[misc]
        if not planned:
            raise UsageError("no stage has any steps", "Leave out --set STAGE.steps=0, or name other stages")
        return planned
