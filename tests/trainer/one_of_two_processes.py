"""What torchrun starts in each process for `test_two_processes`, given what to do, a checkpoint, data and an output."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor

from pixsearch.errors import Interrupted
from pixsearch.model.checkpoints import load_network
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import Progress, silent
from pixsearch_trainer.batches.draws import Draws
from pixsearch_trainer.batches.pairs import PairBatch, PairBatches
from pixsearch_trainer.data.pairs import CaptionedPicture, Captions
from pixsearch_trainer.end_to_end.pairs import train_on_pairs
from pixsearch_trainer.end_to_end.run import EndToEndOptions
from pixsearch_trainer.objectives import pretraining
from pixsearch_trainer.objectives.contrastive import ContrastiveObjective, ContrastiveOptions
from pixsearch_trainer.objectives.objective import Objective
from pixsearch_trainer.objectives.pretraining import PreTrainingObjective, PreTrainingOptions
from pixsearch_trainer.optimisation.accelerator import make_accelerator
from pixsearch_trainer.optimisation.loop import LoopOptions
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights.other_task import for_task

_BATCH = 8  # pairs, over all processes


def main(what: str, start: Path, data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, processor = load_network(start)
    assert isinstance(network, PixelBertForRetrieval)
    pictures = [CaptionedPicture(Path(file), tuple(captions)) for file, captions in json.loads(data.read_text())]
    if what == "itc":
        options = ContrastiveOptions(matching_weight=0, queue=4, soft_labels=0.3)
        gradients(ContrastiveObjective(network, options), processor, pictures, out)
    elif what == "mlm":
        pre_training, _ = for_task("pretrain", network, processor)
        assert isinstance(pre_training, PixelBertForPreTraining)
        objective = PreTrainingObjective(pre_training, PreTrainingOptions(matching=False, sampling=False))
        with mock.patch.object(pretraining, "mask_words", mask_words_of_even_letters):
            gradients(objective, processor, pictures, out)
    else:
        run(network, processor, pictures, out, stop=what == "stop")


def gradients(objective: Objective, processor: PixelBertProcessor, pictures: list[CaptionedPicture], out: Path) -> None:
    """Two steps' losses, and the gradient that the second leaves, as the loop would make them."""
    accelerator = make_accelerator("no")
    draws = Draws(torch.ones(len(pictures)), _BATCH, seed=0)
    place = accelerator.process_index, accelerator.num_processes
    batches = PairBatches(
        pictures, Captions.of(pictures), processor, draws, accelerator.device, 0, None, False, 0, 0, *place
    )(0)
    wrapped = accelerator.prepare(objective)
    losses = []
    for _ in range(2):
        objective.zero_grad()
        batch: PairBatch = next(batches)
        assert len(batch) == _BATCH // accelerator.num_processes
        loss = wrapped(batch)["loss"]
        accelerator.backward(loss)
        losses.append(accelerator.reduce(loss.detach(), reduction="mean").item())
    grads = {name: p.grad for name, p in objective.named_parameters() if p.grad is not None and p.grad.any()}
    if accelerator.is_main_process:
        torch.save({"losses": losses, "gradients": grads}, out)


def mask_words_of_even_letters(ids: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """No chance in it, and different numbers of words in different sentences."""
    chosen = (ids > 103) & (ids % 2 == 0)
    return ids.masked_fill(chosen, pretraining.MASK_TOKEN), ids.masked_fill(~chosen, pretraining.IGNORED)


def run(
    network: PixelBertForRetrieval,
    processor: PixelBertProcessor,
    pictures: list[CaptionedPicture],
    out: Path,
    stop: bool,
) -> None:
    """Three steps of a whole run; where it is to stop, a signal reaches the last process alone, after the first."""
    accelerator = make_accelerator("no")
    last = accelerator.process_index == accelerator.num_processes - 1

    def interrupt(progress: Progress) -> None:
        if progress.task == "retrieval" and progress.done == 1 and last:
            os.kill(os.getpid(), signal.SIGTERM)

    if accelerator.is_main_process:
        RunFolder(out).begin({})
    accelerator.wait_for_everyone()
    options = EndToEndOptions(
        epochs=3 * _BATCH / len(pictures),
        batch=_BATCH // accelerator.num_processes,
        workers=0,
        precision="no",
        loop=LoopOptions(log_every=1),
    )
    show: Callable[[Progress], None] = interrupt if stop else silent
    arguments = network, processor, pictures, out, ContrastiveOptions(matching_weight=0), options
    try:
        train_on_pairs(*arguments, "nothing", False, lambda line: None, show)
    except Interrupted:
        (out / f"stopped-{accelerator.process_index}").touch()
    torch.save(network.state_dict(), out / f"weights-{accelerator.process_index}.pt")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
    if dist.is_initialized():
        dist.destroy_process_group()
