"""The recipes. Each lists its stages with their options, and can be read on its own."""

from __future__ import annotations

from pixsearch.errors import UsageError
from pixsearch_trainer.recipes.finetune import FINETUNE
from pixsearch_trainer.recipes.paper import PAPER
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.recipes.shipped import SHIPPED

RECIPES = {"finetune": FINETUNE, "shipped": SHIPPED, "paper": PAPER}


def recipe_named(name: str) -> Recipe:
    """Return a recipe by name. Raises UsageError if there is none of that name."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}", f"Choose from {', '.join(RECIPES)}")
    return RECIPES[name]
