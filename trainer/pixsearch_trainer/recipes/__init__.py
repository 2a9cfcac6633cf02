"""The recipes for training a checkpoint. Each one lists its stages and their options."""

from __future__ import annotations

from pixsearch.errors import UsageError
from pixsearch_trainer.recipes.finetune import FINETUNE
from pixsearch_trainer.recipes.paper import PAPER
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.recipes.shipped import SHIPPED

RECIPES = {"finetune": FINETUNE, "shipped": SHIPPED, "paper": PAPER}


def recipe_named(name: str) -> Recipe:
    """Return the recipe with this name. Raises UsageError if there is none."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}", f"Choose from {', '.join(RECIPES)}")
    return RECIPES[name]
