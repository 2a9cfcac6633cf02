"""`paper`: Pixel-BERT as published, for those with COCO, Visual Genome and GPUs (sections 3.3, 4.1, 4.2).

From ResNet-50 trained on ImageNet and BERT-base (both downloaded), or from a checkpoint (`--model`):

1. `pretraining`: MLM and ITM on sampled pixels, 40 epochs, learning rates falling to a tenth after 25 and 35.
2. `ranking`: each caption among 20 false ones, of which the 5 hardest teach, 4 epochs.
3. `maps`: ours: the maps of a first stage, so that its result can search. The paper scores every pair.

`vqa` and `nlvr2` take the place of ranking where they are named (`--stage vqa`), with the data of those tasks.
ResNeXt-152: --set start.backbone=resnext152_32x8d --set start.cnn=FILE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from pixsearch.model.devices import autocast
from pixsearch.model.networks import Network
from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.vqa import PixelBertForVQA
from pixsearch_trainer.batches.augmentation import Augmentation
from pixsearch_trainer.batches.draws import CaptionedSet, Draws, Pairs
from pixsearch_trainer.batches.pairs import PairBatch, pair_batches, pairs_by_weight
from pixsearch_trainer.batches.sources import Source, cached_grids
from pixsearch_trainer.data import nlvr2 as nlvr2_data
from pixsearch_trainer.data import vqa as vqa_data
from pixsearch_trainer.data.nlvr2 import Statement
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.vqa import Question
from pixsearch_trainer.objectives.maps import MapsOptions
from pixsearch_trainer.objectives.other_tasks import NLVR2Objective, VQAObjective
from pixsearch_trainer.objectives.pretraining import PreTrainingObjective, PreTrainingParts
from pixsearch_trainer.objectives.ranking import RankingBatch, RankingObjective, add_others
from pixsearch_trainer.recipes.material import Material, as_pictures, fit_statistics, steps_of
from pixsearch_trainer.recipes.recipe import Recipe
from pixsearch_trainer.recipes.stages import maps_stage
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.schedules import step_down
from pixsearch_trainer.run.stage import Batches, Judge, Objective, Stage, StageOptions, adamw
from pixsearch_trainer.starting_weights import Start

_VAL_BATCHES = 20


@dataclass(frozen=True, kw_only=True)
class PaperOptions(StageOptions):
    """SGD for the CNN and AdamW for the Transformer, with a step schedule (section 4.1)."""

    learning_rate: float = 1e-4
    train_cnn: bool = True
    cnn_learning_rate: float = 1e-2
    cnn_weight_decay: float = 5e-4
    cnn_momentum: float = 0.9
    drops: tuple[float, ...] = ()
    """Shares of the steps after which learning rates fall to a tenth."""
    warm_up: float = 0.05
    augment: bool = False


@dataclass(frozen=True, kw_only=True)
class PreTrainingOptions(PaperOptions):
    """Which parts of pre-training there are (table 6)."""

    epochs: float = 40
    drops: tuple[float, ...] = (25 / 40, 35 / 40)
    masked_words: bool = True
    matching: bool = True
    sampling: bool = True


@dataclass(frozen=True, kw_only=True)
class RankingOptions(PaperOptions):
    """The paper's numbers (section 4.2)."""

    epochs: float = 4
    negatives: int = 20
    hardest: int = 5


@dataclass(frozen=True)
class PaperRecipeOptions:
    """The numbers of each stage."""

    start: Start = Start(
        backbone="resnet50",
        cnn="torchvision",
        language_model="bert-base-uncased",
        input_size=800,
        resize="shorter_edge",
        pool=True,
    )
    pretraining: PreTrainingOptions = PreTrainingOptions(share=10)
    ranking: RankingOptions = RankingOptions()
    vqa: PaperOptions = PaperOptions(epochs=18)
    nlvr2: PaperOptions = PaperOptions(epochs=18, batch=32)
    maps: MapsOptions = MapsOptions()


def pretraining_stage(material: Material, options: PreTrainingOptions) -> Stage:
    """MLM and ITM on pairs; val is judged by their loss."""
    _prepare(material, options)
    parts = PreTrainingParts(options.masked_words, options.matching, options.sampling)
    objective = PreTrainingObjective(material.network, parts)
    source = _source(material, material.training.pictures, options)
    batches = material.pair_batches(options, source, mirror=options.augment)
    judge = _judge_by_loss(material, objective, options, others=0)
    return _stage(objective, material.run, batches, steps_of(options, material.draws(options)), options, judge)


def ranking_stage(material: Material, options: RankingOptions) -> Stage:
    """A true caption among false ones, by the joint stream's head alone; val is judged by the loss."""
    _prepare(material, options)
    objective = RankingObjective(material.network, options.hardest)
    source = _source(material, material.training.pictures, options)
    pairs = material.pair_batches(options, source, mirror=options.augment)

    def batches(first: int) -> Iterator[RankingBatch]:
        for step, batch in enumerate(pairs(first), first):
            yield add_others(batch, step, material.training, material.run.processor, options.negatives)

    judge = _judge_by_loss(material, objective, options, others=options.negatives)
    return _stage(objective, material.run, batches, steps_of(options, material.draws(options)), options, judge)


def vqa_stage(material: Material, options: PaperOptions) -> Stage:
    """A logit for each common answer (VQA, section 4.2); a training question with none of them is left out."""
    run, network = material.run, _prepare(material, options)
    assert isinstance(network, PixelBertForVQA)
    place_of = {answer: place for place, answer in enumerate(network.config.answers)}
    questions, targets = list[Question](), list[dict[int, float]]()
    for question in material.items:
        worth = {place_of[answer]: question.worth(answer) for answer in question.answers if answer in place_of}
        if question.split == "train" and worth:
            questions.append(question)
            targets.append(worth)
    val = [question for question in material.items if question.split == "val"]

    def judge() -> tuple[float, dict[str, object]]:
        with autocast(run.device):
            logits = torch.cat([_answer(network, batch) for batch in _every(material, val, options)])
        answers = [network.config.answers[place] for place in logits.argmax(1).tolist()]
        reached = vqa_data.accuracy(val, answers)
        return reached, {"accuracy": round(reached, 2)}

    data = CaptionedSet(as_pictures(questions), run.seed)
    draws = _draws(len(data), material, options)
    pairs_at = pairs_by_weight(data, draws, mirror=False, **material.place)  # "left" is an answer
    batches = pair_batches(data, pairs_at, _source(material, data.pictures, options), run.processor, run.device)
    objective = VQAObjective(network, targets)
    return _stage(objective, run, batches, steps_of(options, draws), options, judge if val else None)


def nlvr2_stage(material: Material, options: PaperOptions) -> Stage:
    """Whether a sentence is true of two pictures (NLVR2, section 4.2)."""
    run, network = material.run, _prepare(material, options)
    assert isinstance(network, PixelBertForNLVR2)
    statements, val = ([one for one in material.items if one.split == split] for split in ("train", "val"))

    def judge() -> tuple[float, dict[str, object]]:
        with autocast(run.device):
            logits = torch.cat([_answer(network, batch) for batch in _every(material, val, options)])
        said = (logits[:, 1] > logits[:, 0]).tolist()
        reached = nlvr2_data.accuracy(val, said)
        return reached, {"accuracy": round(reached, 2), "consistency": round(nlvr2_data.consistency(val, said), 2)}

    data = CaptionedSet(as_pictures(statements), run.seed)
    draws = _draws(len(statements), material, options)
    rank, processes = material.place["rank"], material.place["processes"]

    def pairs_at(step: int) -> Pairs:
        drawn = draws.at(step).chunk(processes)[rank]
        return data.with_captions(torch.stack([2 * drawn, 2 * drawn + 1], dim=1).flatten(), step, mirror=False)

    batches = pair_batches(data, pairs_at, _source(material, data.pictures, options), run.processor, run.device)
    objective = NLVR2Objective(network, torch.tensor([int(one.truth) for one in statements]))
    return _stage(objective, run, batches, steps_of(options, draws), options, judge if val else None)


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
)


def _prepare(material: Material, options: PaperOptions) -> Network:
    """Everything is trained, the CNN where it is asked for; features are standardised first, where they never were."""
    network = material.run.network
    if not network.model.standardise.fitted:
        fit_statistics(network.model, material.sample())
    network.requires_grad_(True).train()
    network.model.backbone.requires_grad_(options.train_cnn)
    return network


def _source(
    material: Material, pictures: Sequence[CaptionedPicture], options: PaperOptions, name: str = "train"
) -> Source:
    """Pixels where the CNN is trained or pictures are augmented, else the frozen CNN's grids."""
    if options.train_cnn or options.augment:
        return material.pixels(pictures, Augmentation() if options.augment and name == "train" else None)
    return cached_grids(material.grids(pictures, name, alone=name == "val"))  # one process judges


def _stage(
    objective: Objective, run: Run, batches: Batches, steps: int, options: PaperOptions, judge: Judge | None
) -> Stage:
    cnn = {id(parameter) for parameter in run.network.model.backbone.parameters()}
    trained = [parameter for parameter in objective.to(run.device).parameters() if parameter.requires_grad]
    above, below = ([p for p in trained if (id(p) in cnn) is is_cnn] for is_cnn in (False, True))
    optimizers: list[torch.optim.Optimizer] = [adamw(options, (above, options.learning_rate))]
    if below:
        rate, decay = options.cnn_learning_rate, options.cnn_weight_decay
        optimizers.append(torch.optim.SGD(below, rate, momentum=options.cnn_momentum, weight_decay=decay))
    schedule = step_down(options.warm_up, options.drops)
    return Stage(objective, optimizers, batches, steps, schedule, options.clip, judge, options.looks, options.kept)


def _judge_by_loss(material: Material, objective: Objective, options: PaperOptions, others: int) -> Judge | None:
    """By the loss on the first batches of val, with the same chance at every look; None where there is no val."""
    if not material.val:
        return None
    run, data = material.run, CaptionedSet(material.val, material.run.seed)

    def judge() -> tuple[float, dict[str, object]]:
        batches = islice(_every(material, data.pictures, options), _VAL_BATCHES)
        losses: list[dict[str, Tensor]] = []
        with torch.random.fork_rng(devices=[]), autocast(run.device):
            torch.manual_seed(0)
            for batch in batches:
                losses.append(objective(add_others(batch, 0, data, run.processor, others) if others else batch))
        figures = {name: round(sum(one[name].item() for one in losses) / len(losses), 4) for name in losses[0]}
        return -figures["loss"], dict(figures)

    return judge


def _every(
    material: Material, items: Sequence[CaptionedPicture | Question | Statement], options: PaperOptions
) -> Iterator[PairBatch]:
    """Batches of all pictures of items once, in their order."""
    run, data = material.run, CaptionedSet(as_pictures(items), material.run.seed)
    places = torch.arange(len(data)).split(2 * options.batch)  # even: an item may have two pictures

    def pairs_at(step: int) -> Pairs:
        return data.with_captions(places[min(step, len(places) - 1)], step, mirror=False)  # a loader asks ahead

    source = _source(material, data.pictures, options, "val")
    return islice(pair_batches(data, pairs_at, source, run.processor, run.device)(0), len(places))


def _answer(network: PixelBertForVQA | PixelBertForNLVR2, batch: PairBatch) -> Tensor:
    logits: Tensor = network(batch.ids, batch.mask, *batch.seen.grids(network.model))
    return logits


def _draws(items: int, material: Material, options: PaperOptions) -> Draws:
    processes = material.place["processes"]
    return Draws(torch.ones(items), options.batch * processes, material.run.seed, processes)
