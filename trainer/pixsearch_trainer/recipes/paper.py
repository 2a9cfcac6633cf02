"""`paper`: train Pixel-BERT as published, with COCO, Visual Genome and GPUs (sections 3.3, 4.1, 4.2).

Training starts from ResNet-50 trained on ImageNet and from BERT-base, both downloaded beforehand, or from a checkpoint
(`--model`):

1. `pretraining` trains MLM and ITM on sampled pixels for 40 epochs. Learning rates fall to a tenth after 25 and 35.
2. `ranking` ranks each caption above 20 false ones for 4 epochs, learning from the 5 hardest.
3. `maps` trains the embedding maps of the first stage, which search needs. The paper has no such stage: it scores every
   pair.

`--stage vqa` and `--stage nlvr2` train for these tasks instead, on their own data. For ResNeXt-152, use
--set start.backbone=resnext152_32x8d --set start.cnn=FILE.
"""

from __future__ import annotations

from dataclasses import dataclass

from pixsearch_trainer.data.nlvr2 import Statement, read_nlvr2
from pixsearch_trainer.data.vqa import Question, common_answers, read_vqa
from pixsearch_trainer.objectives.streams import MapsOptions
from pixsearch_trainer.recipes.paper_stages import (
    PaperOptions,
    PreTrainingOptions,
    RankingOptions,
    nlvr2_stage,
    pretraining_stage,
    ranking_stage,
    vqa_stage,
)
from pixsearch_trainer.recipes.recipe import Recipe, Task
from pixsearch_trainer.recipes.stages import maps_stage
from pixsearch_trainer.starting_weights import Start


@dataclass(frozen=True)
class PaperRecipeOptions:
    """The hyperparameters of each stage."""

    start: Start = Start(
        backbone="resnet50",
        cnn="torchvision",
        language_model="hub:google-bert/bert-base-uncased",
        input_size=800,
        resize="shorter_edge",
        pool=True,
    )
    pretraining: PreTrainingOptions = PreTrainingOptions(share=10)
    ranking: RankingOptions = RankingOptions()
    vqa: PaperOptions = PaperOptions(epochs=18)
    nlvr2: PaperOptions = PaperOptions(epochs=18, batch=32)
    maps: MapsOptions = MapsOptions()


PAPER = Recipe(
    options=PaperRecipeOptions(),
    stages={
        "pretraining": pretraining_stage,
        "ranking": ranking_stage,
        "vqa": vqa_stage,
        "nlvr2": nlvr2_stage,
        "maps": maps_stage,
    },
    uses=frozenset({"minutes", "workers"}),
    by_default=("pretraining", "ranking", "maps"),
    tasks={
        "vqa": Task("vqa", Question, read_vqa, common_answers),
        "nlvr2": Task("nlvr2", Statement, read_nlvr2),
    },
)
