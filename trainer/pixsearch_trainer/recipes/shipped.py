"""`shipped`: train a checkpoint like the one in the package. Recommended for a GPU and 10,000 or more pictures.

Training starts from EfficientNet-Lite2 trained on ImageNet and MiniLM trained on text, which `make model` downloads, or
from a checkpoint (`--model`):

1. `maps` trains the embedding maps on the frozen CNN.
2. `late` trains late interaction, also on the frozen CNN. These two stages run well on a CPU.
3. `cnn` trains the CNN, the maps and late interaction together, with soft ITC on augmented pictures.
4. `layers` also trains the Transformer's layers. A cosine loss keeps the embeddings of sentences from drifting.
5. `pixels` trains the projection of pixels into the Transformer, with everything else frozen.
6. `joint` trains the joint stream with MLM and with ITM on blocks of look-alikes. The text and image streams are also
   trained, but are kept from drifting.

`--stage` runs only some of the stages. For the effect of each stage, see "A CNN that is trained too" in
docs/history.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from pixsearch_trainer.objectives.joint import JointOptions
from pixsearch_trainer.objectives.streams import MapsOptions, PixelsOptions
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.recipes.stages import (
    CnnOptions,
    LateOptions,
    cnn_stage,
    joint_stage,
    late_stage,
    maps_stage,
    pixels_stage,
)
from pixsearch_trainer.starting_weights import Start


@dataclass(frozen=True)
class ShippedOptions:
    """The options of each stage; `share` is the relative share of --minutes."""

    start: Start = Start(backbone="efficientnet_lite2", input_size=288)
    maps: MapsOptions = MapsOptions(share=0.3)
    late: LateOptions = LateOptions(share=0.7)
    cnn: CnnOptions = CnnOptions(share=2.5)
    layers: CnnOptions = CnnOptions(epochs=8, cnn_learning_rate=3e-4, layers_learning_rate=2e-5, share=2.5)
    pixels: PixelsOptions = PixelsOptions(share=0.3)
    joint: JointOptions = JointOptions(share=4.0)


SHIPPED = Recipe(
    options=ShippedOptions(),
    stages={
        "maps": maps_stage,
        "late": late_stage,
        "cnn": cnn_stage,
        "layers": cnn_stage,
        "pixels": pixels_stage,
        "joint": joint_stage,
    },
    uses=frozenset({"teacher", "teacher_texts", "minutes", "workers"}),
)
