"""The program that torchrun starts in each process for `test_two_processes`. Arguments: checkpoint, pack and folder."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from torch import Tensor

from pixsearch.errors import Interrupted
from pixsearch.model.checkpoints import load_network
from pixsearch.model.pixel_bert import PixelBertForRetrieval
from pixsearch.model.processor import PixelBertProcessor
from pixsearch.progress import silent
from pixsearch_trainer.batches.draws import CaptionedSet, Draws
from pixsearch_trainer.batches.sources import PairBatch, packed_pixels, pair_batches
from pixsearch_trainer.data.pack import read_pack
from pixsearch_trainer.data.pairs import of_split
from pixsearch_trainer.grids import encode_sentences
from pixsearch_trainer.objectives import pretraining
from pixsearch_trainer.objectives.pretraining import PreTrainingObjective
from pixsearch_trainer.objectives.streams import StreamsObjective, StreamsOptions, Texts
from pixsearch_trainer.options import TrainOptions, with_settings
from pixsearch_trainer.recipes.material import Material, as_pictures
from pixsearch_trainer.recipes.shipped import SHIPPED
from pixsearch_trainer.run.accelerator import make_accelerator
from pixsearch_trainer.run.run import Run
from pixsearch_trainer.run.stage import Objective, train_only
from pixsearch_trainer.run.state import RunFolder
from tests.trainer.conftest import stop_at

BATCH = 8
"""The number of pairs in all processes together."""


def main(start: Path, pack: Path, out: Path) -> None:
    torch.set_num_threads(1)
    for name in ("itc", "mlm"):
        torch.manual_seed(0)
        network, processor = load_for_retrieval(start)
        data = CaptionedSet(of_split(as_pictures(read_pack(pack)), "train"), seed=0)
        if name == "itc":
            train_only(network, (1.0, [network.model.backbone, network.maps, network.model.layers]))
            texts = Texts(encode_sentences(network, processor, data.texts, silent), data.true_texts, False)
            # Late interaction only contrasts pairs within a process, so that steps do not get slower with more
            # processes.
            options = StreamsOptions(feature_dropout=0, hidden_dropout=0, channel_dropout=0, late_weight=0)
            gradients(StreamsObjective(network, texts, options), data, processor, out / "itc.pt")
        else:
            with mock.patch.object(pretraining, "mask_words", mask_words_of_even_letters):
                objective = PreTrainingObjective(network, matching=False, sampling=False)
                gradients(objective, data, processor, out / "mlm.pt")
    run(start, pack, out / "whole", stop=False)
    run(start, pack, out / "stopped", stop=True)


def load_for_retrieval(start: Path) -> tuple[PixelBertForRetrieval, PixelBertProcessor]:
    network, processor = load_network(start)
    assert isinstance(network, PixelBertForRetrieval)
    return network, processor


def gradients(objective: Objective, data: CaptionedSet, processor: PixelBertProcessor, file: Path) -> None:
    """Save the losses of two steps, computed as in the loop, and the gradients of the second."""
    accelerator = make_accelerator("no")
    process = {"rank": accelerator.process_index, "processes": accelerator.num_processes}
    pairs_at = data.pairs_at(Draws(data.weights, BATCH, seed=0).at, mirror=True, **process)
    source = packed_pixels(data.pictures, processor, workers=0)
    batches = pair_batches(data, pairs_at, source, processor, accelerator.device)(0)
    wrapped = accelerator.prepare(objective)
    losses = []
    for _ in range(2):
        objective.zero_grad()
        batch: PairBatch = next(batches)
        assert len(batch) == BATCH // accelerator.num_processes
        loss = wrapped(batch)["loss"]
        accelerator.backward(loss)
        losses.append(accelerator.reduce(loss.detach(), reduction="mean").item())
    grads = {name: p.grad for name, p in objective.named_parameters() if p.grad is not None and p.grad.any()}
    if accelerator.is_main_process:
        torch.save({"losses": losses, "gradients": grads}, file)


def mask_words_of_even_letters(ids: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Mask words deterministically, a different number in different sentences."""
    chosen = (ids > 103) & (ids % 2 == 0)
    return ids.masked_fill(chosen, pretraining.MASK_TOKEN), ids.masked_fill(~chosen, pretraining.IGNORED)


def run(start: Path, pack: Path, out: Path, stop: bool) -> None:
    """Run two stages of `shipped`. If `stop` is set, signal only the last process, after the first step."""
    accelerator = make_accelerator("no")
    last = accelerator.process_index == accelerator.num_processes - 1

    if accelerator.is_main_process:
        RunFolder(out).begin({})
    accelerator.wait_for_everyone()
    network, processor = load_for_retrieval(start)
    on_progress = stop_at("maps", 1, signal.SIGTERM) if stop and last else silent
    run = Run(network, processor, RunFolder(out), accelerator, lambda line: None, on_progress)
    numbers = {"feature_dropout": 0, "hidden_dropout": 0, "batch": BATCH // accelerator.num_processes}
    every = {f"{stage}.{name}": value for stage in ("maps", "cnn") for name, value in numbers.items()}
    chosen = every | {"maps.steps": 20, "cnn.steps": 2, "cnn.late_weight": 0, "cnn.layers_learning_rate": 1e-4}
    settings = with_settings(SHIPPED.options, [f"{name}={value}" for name, value in chosen.items()])
    material = Material(run, read_pack(pack), None, workers=0)
    try:
        run.train(SHIPPED.plan(TrainOptions(stage=("maps", "cnn")), settings, material), resume=False)
    except Interrupted:
        (out / f"stopped-{accelerator.process_index}").touch()
    torch.save(network.state_dict(), out / f"weights-{accelerator.process_index}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
    if dist.is_initialized():
        dist.destroy_process_group()
