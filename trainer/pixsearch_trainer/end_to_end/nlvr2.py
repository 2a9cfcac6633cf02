"""Training for NLVR2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pixsearch.model.devices import autocast
from pixsearch.model.nlvr2 import PixelBertForNLVR2
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.batches.pairs import grids_of
from pixsearch_trainer.data.nlvr2 import Statement, accuracy, consistency
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.end_to_end.run import EndToEndOptions, EndToEndReport, EndToEndRun, train_task
from pixsearch_trainer.objectives.nlvr2 import NLVR2Objective
from pixsearch_trainer.starting_weights.other_task import Fresh

if TYPE_CHECKING:
    from pixsearch.model.checkpoints import Network


def train_nlvr2(
    network: PixelBertForNLVR2,
    processor: PixelBertProcessor,
    statements: Sequence[Statement],
    out: Path,
    options: EndToEndOptions,
    fresh: Fresh,
    resume: bool,
    say: Callable[[str], None],
    on_progress: ProgressCallback = silent,
) -> EndToEndReport:
    """Train on the statements of the split train, judged by the accuracy on those of val; see `train_task`."""
    task = _NLVR2Task(statements)
    return train_task(task, network, processor, out, options, fresh, resume, say, on_progress)


class _NLVR2Task:
    name = "nlvr2"
    pictures_an_item = 2
    others = 0

    def __init__(self, statements: Sequence[Statement]) -> None:
        train, self._val = ([s for s in statements if s.split == split] for split in ("train", "val"))
        self._truths = torch.tensor([int(statement.truth) for statement in train])
        self.training, self.validation = _pictures(train), _pictures(self._val)

    def objective(self, network: Network) -> NLVR2Objective:
        assert isinstance(network, PixelBertForNLVR2)
        return NLVR2Objective(network, self._truths)

    def judge(self, run: EndToEndRun) -> tuple[float, dict[str, object]]:
        network = run.network
        assert isinstance(network, PixelBertForNLVR2)
        said: list[bool] = []
        with torch.no_grad(), autocast(run.device):
            for batch in run.every(self.validation):
                logits = network(batch.ids, batch.mask, *grids_of(network.model, batch))
                said += (logits[:, 1] > logits[:, 0]).tolist()
        reached = accuracy(self._val, said)
        return reached, {"accuracy": round(reached, 2), "consistency": round(consistency(self._val, said), 2)}


def _pictures(statements: Sequence[Statement]) -> list[CaptionedPicture]:
    """The left one and the right one of each, one after the other."""
    return [
        CaptionedPicture(picture, (statement.text,), statement.split)
        for statement in statements
        for picture in (statement.left, statement.right)
    ]
