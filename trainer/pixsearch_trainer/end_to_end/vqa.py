"""Training for VQA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pixsearch.model.devices import autocast
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.model.vqa import PixelBertForVQA
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.batches.pairs import grids_of
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.vqa import Question, accuracy
from pixsearch_trainer.end_to_end.run import EndToEndOptions, EndToEndReport, EndToEndRun, train_task
from pixsearch_trainer.objectives.vqa import VQAObjective
from pixsearch_trainer.starting_weights.other_task import Fresh

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network


def train_vqa(
    network: PixelBertForVQA,
    processor: PixelBertProcessor,
    questions: Sequence[Question],
    out: Path,
    options: EndToEndOptions,
    fresh: Fresh,
    resume: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback = silent,
) -> EndToEndReport:
    """Train on the questions of the split train, judged by VQA's accuracy on those of val; see `train_task`.

    Args:
        network: with the answers that `common_answers` gives; a training question with none of them is left out.
    """
    task = _VQATask(questions, network.config.answers)
    return train_task(task, network, processor, out, options, fresh, resume, say, on_progress)


class _VQATask:
    name = "vqa"
    pictures_an_item = 1
    others = 0

    def __init__(self, questions: Sequence[Question], answers: tuple[str, ...]) -> None:
        self._answers = answers
        place_of = {answer: place for place, answer in enumerate(answers)}
        self._targets = []
        self.training = []
        for question in questions:
            worth = {place_of[answer]: question.worth(answer) for answer in question.answers if answer in place_of}
            if question.split == "train" and worth:
                self._targets.append(worth)
                self.training.append(_item(question))
        self._val = [question for question in questions if question.split == "val"]
        self.validation = [_item(question) for question in self._val]

    def objective(self, network: Network) -> VQAObjective:
        assert isinstance(network, PixelBertForVQA)
        return VQAObjective(network, self._targets)

    def judge(self, run: EndToEndRun) -> tuple[float, dict[str, object]]:
        network = run.network
        assert isinstance(network, PixelBertForVQA)
        answers: list[str] = []
        with torch.no_grad(), autocast(run.device):
            for batch in run.every(self.validation):
                logits = network(batch.ids, batch.mask, *grids_of(network.model, batch))
                answers += [self._answers[place] for place in logits.argmax(1).tolist()]
        reached = accuracy(self._val, answers)
        return reached, {"accuracy": round(reached, 2)}


def _item(question: Question) -> CaptionedPicture:
    return CaptionedPicture(question.picture, (question.text,), question.split)
