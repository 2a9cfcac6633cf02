"""`finetune`: improve the search on the user's own captioned photos, in minutes on a laptop.

Training starts from the shipped checkpoint or the one given with `--model`. The CNN and the Transformer are frozen:

1. `maps` trains the embedding maps for 60 epochs with batches of 500 pairs. Half of the pictures are mirrored.
2. `late` trains late interaction if there are 2,000 or more pictures. With only 500, it ranked new pictures worse.

After each stage, the weights are averaged equally with those before the stage, and the best weights on val are kept.
Finally, matches are calibrated if val is large enough.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pixsearch_trainer.objectives.streams import MapsOptions
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.recipes.stages import LateOptions, late_stage, maps_stage

FEWEST_FOR_LATE = 2000
"""The minimum number of training pictures for the stage `late`."""


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
