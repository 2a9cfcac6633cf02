"""`finetune`: improve the search on one's own captioned photos, in minutes on a laptop.

It starts from the shipped checkpoint or another one, with CNN and Transformer frozen:

1. `maps`: the embedding maps, 60 epochs over batches of 500 pairs, half of the pictures mirrored.
2. `late`: late interaction, with 2,000 or more pictures; trained on 500, it ranked other pictures worse than before.

The weights of each are averaged equally with those before the stage, the best ones on val are kept, and matches are
calibrated if val suffices.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pixsearch_trainer.objectives.streams import MapsOptions
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.recipes.stages import LateOptions, late_stage, maps_stage

FEWEST_FOR_LATE = 2000
"""The fewest training pictures for the stage `late`."""


@dataclass(frozen=True)
class FinetuneOptions:
    """The options of each stage."""

    maps: MapsOptions = MapsOptions(kept=0.5)
    late: LateOptions = LateOptions(kept=0.5, steps=None)


def _with_late_steps(options: FinetuneOptions, pictures: int) -> FinetuneOptions:
    if options.late.steps is not None:
        return options
    steps = LateOptions().steps if pictures >= FEWEST_FOR_LATE else 0
    return dataclasses.replace(options, late=dataclasses.replace(options.late, steps=steps))


FINETUNE = Recipe(
    options=FinetuneOptions(),
    stages={"maps": maps_stage, "late": late_stage},
    uses=frozenset({"library", "teacher", "teacher_texts"}),
    calibrates=True,
    adjust=_with_late_steps,
)
