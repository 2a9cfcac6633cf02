"""Build the stages of the paper from the material and their options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pixsearch.model.devices import autocast
from pixsearch.model.networks import Network
from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.vqa import PixelBertForVQA
from pixsearch_trainer.batches.draws import CaptionedSet
from pixsearch_trainer.batches.sources import Augmentation, PairBatch, Source, cached_grids, pair_batches
from pixsearch_trainer.data import nlvr2, vqa
from pixsearch_trainer.data.pack import Item
from pixsearch_trainer.data.pairs import CaptionedPicture, captions_only
from pixsearch_trainer.objectives.pretraining import PreTrainingObjective
from pixsearch_trainer.objectives.ranking import RankingBatch, RankingObjective, add_others
from pixsearch_trainer.recipes.material import Material, as_pictures, fit_missing_statistics
from pixsearch_trainer.run.stage import Batches, Judge, Objective, Stage, StageOptions, adamw

_VAL_BATCHES = 20


@dataclass(frozen=True, kw_only=True)
class PaperOptions(StageOptions):
    """The options of the paper (section 4.1): SGD for the CNN, AdamW for the Transformer, and a step schedule."""

    learning_rate: float = 1e-4
    train_cnn: bool = True
    cnn_learning_rate: float = 1e-2
    cnn_weight_decay: float = 5e-4
    cnn_momentum: float = 0.9
    drops: tuple[float, ...] = ()
    """The fractions of the steps after which learning rates fall to a tenth."""
    warm_up: float = 0.05
    augment: bool = False

    def falling(self, step: int, steps: int) -> float:
        """Return the factor after the warm-up: 0.1 to the power of the number of `drops` so far."""
        return 0.1 ** sum(step >= round(drop * steps) for drop in self.drops)


@dataclass(frozen=True, kw_only=True)
class PreTrainingOptions(PaperOptions):
    """The options of pre-training. Each part can be turned off (table 6)."""

    epochs: float = 40
    drops: tuple[float, ...] = (25 / 40, 35 / 40)
    masked_words: bool = True
    matching: bool = True
    sampling: bool = True


@dataclass(frozen=True, kw_only=True)
class RankingOptions(PaperOptions):
    """The options of ranking (section 4.2)."""

    epochs: float = 4
    negatives: int = 20
    hardest: int = 5


class AnswerObjective(Objective):
    """Minimise the loss of a network's answers to questions or statements."""

    def __init__(self, network: PixelBertForVQA | PixelBertForNLVR2, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Build the objective.

        Args:
            loss: a function that computes the loss from logits [items, answers] in float32 and the indices of the
                batch's pictures in the data set [batch].
        """
        super().__init__()
        self.network, self._loss = network, loss

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        return {"loss": self._loss(self.answer(batch).float(), batch.pictures.cpu())}

    def answer(self, batch: PairBatch) -> Tensor:
        """Return the logits of the answers [items, answers]."""
        logits: Tensor = self.network(batch.ids, batch.mask, *batch.inputs.grids(self.network.model))
        return logits


def pretraining_stage(material: Material, options: PreTrainingOptions) -> Stage:
    """Build the pre-training stage, with MLM and ITM on pairs. It is judged by the loss on val."""
    _prepare(material, options)
    parts = {"masked_words": options.masked_words, "matching": options.matching, "sampling": options.sampling}
    objective = PreTrainingObjective(material.network, **parts)
    judge = _judge_by_loss(material, objective, options, others=0)
    return _stage(material, objective, options, *_training_pairs(material, options), judge)


def ranking_stage(material: Material, options: RankingOptions) -> Stage:
    """Build the stage that ranks a true caption above false ones. It is judged by the loss on val."""
    _prepare(material, options)
    objective = RankingObjective(material.network, options.hardest)
    pairs, steps_an_epoch = _training_pairs(material, options)

    def batches(first: int) -> Iterator[RankingBatch]:
        for step, batch in enumerate(pairs(first), first):
            yield add_others(batch, step, material.training, material.run.processor, options.negatives)

    judge = _judge_by_loss(material, objective, options, others=options.negatives)
    return _stage(material, objective, options, batches, steps_an_epoch, judge)


def vqa_stage(material: Material, options: PaperOptions) -> Stage:
    """Build the VQA stage, with a logit for each common answer (section 4.2).

    Training questions without a common answer are skipped. The loss is binary cross-entropy over the answers. The
    target of an answer is its VQA accuracy.
    """
    network = _prepare(material, options)
    assert isinstance(network, PixelBertForVQA)
    answers = network.config.answers
    index_of = {answer: index for index, answer in enumerate(answers)}
    worth = [{index_of[text]: one.worth(text) for text in one.answers if text in index_of} for one in material.items]
    taught = [index for index, one in enumerate(material.items) if one.split == "train" and worth[index]]

    def loss(logits: Tensor, questions: Tensor) -> Tensor:
        targets = torch.zeros(logits.shape)
        for row, question in enumerate(questions.tolist()):
            for answer, value in worth[taught[question]].items():
                targets[row, answer] = value
        total = F.binary_cross_entropy_with_logits(logits, targets.to(logits.device), reduction="sum")
        return total / len(logits)

    def measure(val: Sequence[vqa.Question], logits: Tensor) -> dict[str, float]:
        return {"accuracy": vqa.accuracy(val, [answers[index] for index in logits.argmax(1).tolist()])}

    questions = [material.items[index] for index in taught]
    return _answering_stage(material, options, AnswerObjective(network, loss), questions, measure)


def nlvr2_stage(material: Material, options: PaperOptions) -> Stage:
    """Build the NLVR2 stage (section 4.2): predict whether a sentence is true of two pictures, with cross-entropy."""
    network = _prepare(material, options)
    assert isinstance(network, PixelBertForNLVR2)
    statements = [one for one in material.items if one.split == "train"]
    truths = torch.tensor([int(one.truth) for one in statements])

    def loss(logits: Tensor, pictures: Tensor) -> Tensor:
        return F.cross_entropy(logits, truths[pictures[::2] // 2].to(logits.device))

    def measure(val: Sequence[nlvr2.Statement], logits: Tensor) -> dict[str, float]:
        judged = (logits[:, 1] > logits[:, 0]).tolist()
        return {"accuracy": nlvr2.accuracy(val, judged), "consistency": nlvr2.consistency(val, judged)}

    return _answering_stage(material, options, AnswerObjective(network, loss), statements, measure)


def _answering_stage(
    material: Material,
    options: PaperOptions,
    objective: AnswerObjective,
    items: Sequence[Item],
    measure: Callable[[Sequence[Any], Tensor], dict[str, float]],
) -> Stage:
    """Build a stage for items with one or two pictures. The score is the first figure that `measure` returns."""
    data, val = (
        CaptionedSet(as_pictures(items), material.run.seed),
        [one for one in material.items if one.split == "val"],
    )
    draws, pictures = material.draws(options, torch.ones(len(items))), len(data) // len(items)

    def judge() -> tuple[float, dict[str, object]]:
        with autocast(material.run.device):
            logits = torch.cat([objective.answer(batch) for batch in _every(material, val, options)])
        figures = measure(val, logits)
        return next(iter(figures.values())), {name: round(value, 2) for name, value in figures.items()}

    batches = material.batches(
        lambda step: (pictures * draws.at(step)[:, None] + torch.arange(pictures)).flatten(),
        _source(material, data.pictures, options),
        mirror=False,  # "left" can be an answer
        data=data,
    )
    return _stage(material, objective, options, batches, draws.steps_an_epoch, judge if val else None)


def _prepare(material: Material, options: PaperOptions) -> Network:
    """Fit missing statistics and make the network trainable, including the CNN if `train_cnn` is True."""
    network = material.run.network
    fit_missing_statistics(material, network.model)
    network.requires_grad_(True).train()
    network.model.backbone.requires_grad_(options.train_cnn)
    return network


def _training_pairs(material: Material, options: PaperOptions) -> tuple[Batches, int]:
    """Return batches of training pictures with one caption each, as in the paper, and their number per epoch."""
    source, draws = _source(material, material.training.pictures, options), material.draws(options)
    data = CaptionedSet(captions_only(material.training.pictures), material.run.seed)
    return material.batches(draws.at, source, mirror=options.augment, data=data), draws.steps_an_epoch


def _source(
    material: Material, pictures: Sequence[CaptionedPicture], options: PaperOptions, *, training: bool = True
) -> Source:
    """Return decoded pixels if the CNN is trained or pictures are augmented; otherwise the frozen CNN's grids."""
    if options.train_cnn or options.augment:
        return material.pixels(pictures, Augmentation() if options.augment and training else None)
    # Only one process judges val.
    return cached_grids(material.grids(pictures, "train") if training else material.grids(pictures, "val", alone=True))


def _stage(
    material: Material,
    objective: Objective,
    options: PaperOptions,
    batches: Batches,
    steps_an_epoch: int,
    judge: Judge | None,
) -> Stage:
    cnn = {id(parameter) for parameter in material.run.network.model.backbone.parameters()}
    trained = [parameter for parameter in objective.to(material.run.device).parameters() if parameter.requires_grad]
    above, below = ([p for p in trained if (id(p) in cnn) is is_cnn] for is_cnn in (False, True))
    optimizers = [adamw(options, dict.fromkeys(above, options.learning_rate))]
    if below:
        rate, decay = options.cnn_learning_rate, options.cnn_weight_decay
        optimizers.append(torch.optim.SGD(below, rate, momentum=options.cnn_momentum, weight_decay=decay))
    return Stage(objective, optimizers, batches, options, judge, steps_an_epoch)


def _judge_by_loss(material: Material, objective: Objective, options: PaperOptions, others: int) -> Judge | None:
    """Return a judge that computes the loss on the first batches of val; None if val is empty.

    The random numbers are the same each time.
    """
    if not material.val:
        return None
    run, data = material.run, CaptionedSet(captions_only(material.val), material.run.seed)

    def judge() -> tuple[float, dict[str, object]]:
        losses: list[dict[str, Tensor]] = []
        with torch.random.fork_rng(devices=[]), autocast(run.device):
            torch.manual_seed(0)
            for batch in islice(_every(material, data.pictures, options), _VAL_BATCHES):
                losses.append(objective(add_others(batch, 0, data, run.processor, others) if others else batch))
        figures = {name: round(sum(one[name].item() for one in losses) / len(losses), 4) for name in losses[0]}
        return -figures["loss"], dict(figures)

    return judge


def _every(material: Material, items: Sequence[Item], options: PaperOptions) -> Iterator[PairBatch]:
    """Yield batches that contain every picture of the items once, in order, for use in a single process."""
    run, data = material.run, CaptionedSet(as_pictures(items), material.run.seed)
    parts = torch.arange(len(data)).split(2 * options.batch)  # an even number, because an item may have two pictures
    pairs_at = data.pairs_at(
        lambda step: parts[min(step, len(parts) - 1)], mirror=False
    )  # a loader reads ahead, past the last part
    source = _source(material, data.pictures, options, training=False)
    return islice(pair_batches(data, pairs_at, source, run.processor, run.device)(0), len(parts))
