"""Training on pictures and captions: pre-training, ITC with ITM, or the paper's ranking."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pixsearch.model.devices import autocast
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.data.pairs import CaptionedPicture, of_split
from pixsearch_trainer.end_to_end.run import EndToEndOptions, EndToEndReport, EndToEndRun, train_task
from pixsearch_trainer.evaluation.measure import evaluate
from pixsearch_trainer.features import encode_grids
from pixsearch_trainer.objectives.contrastive import ContrastiveObjective, ContrastiveOptions
from pixsearch_trainer.objectives.distillation import TeacherEmbeddings
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.pretraining import PreTrainingObjective, PreTrainingOptions
from pixsearch_trainer.objectives.ranking import RankingObjective, RankingOptions
from pixsearch_trainer.starting_weights.other_task import Fresh

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network

ObjectiveOptions = PreTrainingOptions | ContrastiveOptions | RankingOptions

_VAL_BATCHES = 20  # where val is judged by its loss
_VAL_QUERIES = 300  # a look whose candidates are re-ranked
_VAL_CANDIDATES = 32


def train_on_pairs(
    network: Network,
    processor: PixelBertProcessor,
    pictures: Sequence[CaptionedPicture],
    out: Path,
    objective: ObjectiveOptions,
    options: EndToEndOptions,
    fresh: Fresh,
    resume: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback = silent,
    teacher: TeacherEmbeddings | None = None,
) -> EndToEndReport:
    """Train for retrieval, or pre-train; for the rest see `train_task`.

    Args:
        network: of pre-training for `PreTrainingOptions`, of retrieval for the others.
        pictures: of the splits train and val, with captions; val is measured on and never trained on.
        teacher: of the training pictures, in their order, and of `Captions.of` them.
    """
    if isinstance(objective, RankingOptions):  # what it learns is the re-rank's order
        network.config = processor.config = dataclasses.replace(network.config, rerank=True)
    task = _PairTask(objective, of_split(pictures, "train"), of_split(pictures, "val"), teacher)
    return train_task(task, network, processor, out, options, fresh, resume, say, on_progress)


class _PairTask:
    """Pictures and captions, and one of the objectives that learn from them."""

    pictures_an_item = 1

    def __init__(
        self,
        options: ObjectiveOptions,
        training: list[CaptionedPicture],
        validation: list[CaptionedPicture],
        teacher: TeacherEmbeddings | None,
    ) -> None:
        self.training, self.validation = training, validation
        self._options, self._teacher = options, teacher
        self.others = options.negatives if isinstance(options, RankingOptions) else 0
        names = {PreTrainingOptions: "pre-training", RankingOptions: "ranking", ContrastiveOptions: "retrieval"}
        self.name = names[type(options)]

    def objective(self, network: Network) -> Objective:
        if isinstance(self._options, PreTrainingOptions):
            assert isinstance(network, PixelBertForPreTraining)
            return PreTrainingObjective(network, self._options)
        assert isinstance(network, PixelBertForRetrieval)
        if isinstance(self._options, RankingOptions):
            return RankingObjective(network, self._options)
        return ContrastiveObjective(network, self._options, self._teacher)

    def judge(self, run: EndToEndRun) -> tuple[float, dict[str, object]]:
        """By R@1 where there is a first stage; the paper's ranking has none, nor has pre-training: by the loss."""
        if isinstance(self._options, ContrastiveOptions):
            return self._judge_by_recall(run, self._options)
        return self._judge_by_loss(run)

    def _judge_by_recall(self, run: EndToEndRun, options: ContrastiveOptions) -> tuple[float, dict[str, object]]:
        network, processor = run.network, run.processor
        assert isinstance(network, PixelBertForRetrieval)
        candidates = (_VAL_CANDIDATES,) if options.matching_weight else ()
        with tempfile.TemporaryDirectory() as folder:
            grids = run.grids(self.validation) or encode_grids(
                network, processor, self.validation, Path(folder), run.on_progress
            )
            evaluation = evaluate(
                network, processor, self.validation, grids, candidates, _VAL_QUERIES, on_progress=run.on_progress
            )
        direction = evaluation.text_to_image
        reached = [direction.first_stage.r1, *(recall.r1 for recall in direction.reranked.values())]
        config = dataclasses.replace(network.config, rerank=len(reached) > 1 and reached[-1] >= reached[0])
        network.config = processor.config = config
        return max(reached), evaluation.as_json()

    def _judge_by_loss(self, run: EndToEndRun) -> tuple[float, dict[str, object]]:
        batches = run.batches(self.validation)
        objective = self.objective(run.network).eval()
        total: dict[str, float] = {}
        count = min(_VAL_BATCHES, batches.steps_an_epoch)
        with torch.random.fork_rng(), torch.no_grad(), autocast(run.device):
            torch.manual_seed(0)  # the same words are masked at every look
            for _, batch in zip(range(count), batches(0), strict=False):
                for name, loss in objective(batch).items():
                    total[name] = total.get(name, 0.0) + loss.item() / count
        return -total["loss"], {name: round(loss, 4) for name, loss in total.items()}
