"""Whole runs from pairs: that they learn, stop, go on and keep the best."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from pixsearch.errors import DatasetError, Interrupted, UsageError
from pixsearch.model.checkpoints import load_checkpoint, load_network, save_checkpoint
from pixsearch.model.pretraining import PixelBertForPreTraining
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.end_to_end.pairs import ObjectiveOptions, train_on_pairs
from pixsearch_trainer.end_to_end.run import EndToEndOptions, EndToEndReport, EndToEndRun
from pixsearch_trainer.evaluation.measure import evaluate
from pixsearch_trainer.features import encode_grids
from pixsearch_trainer.objectives.contrastive import ContrastiveObjective, ContrastiveOptions
from pixsearch_trainer.objectives.pretraining import PreTrainingOptions
from pixsearch_trainer.objectives.ranking import RankingOptions
from pixsearch_trainer.optimisation.loop import LoopOptions, TrainingFailed
from pixsearch_trainer.optimisation.optimizers import OptimizerOptions
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights.other_task import Fresh, for_task

State = dict[str, torch.Tensor]

OPTIONS = EndToEndOptions(
    epochs=6,
    batch=16,
    workers=0,
    precision="no",
    optimizer=OptimizerOptions(learning_rate=1e-3),
    loop=LoopOptions(log_every=1),
)
"""12 steps of 16 pairs."""
CONTRASTIVE = ContrastiveOptions()


def run(
    start: Path,
    pictures: list[CaptionedPicture],
    out: Path,
    options: EndToEndOptions = OPTIONS,
    objective: ObjectiveOptions = CONTRASTIVE,
    fresh: Fresh = "nothing",
    resume: bool = False,
    on_progress: ProgressCallback = silent,
) -> EndToEndReport:
    network, processor = load_network(start)
    if isinstance(objective, PreTrainingOptions):
        torch.manual_seed(0)
        network, processor = for_task("pretrain", network, processor)
    if not resume:
        RunFolder(out).begin({})
    said: list[str] = []
    return train_on_pairs(
        network, processor, pictures, out, objective, options, fresh, resume, said.append, on_progress
    )


def state_of(folder: Path) -> State:
    return load_network(folder)[0].state_dict()


def interrupt_after(steps: int, number: signal.Signals = signal.SIGINT) -> ProgressCallback:
    def interrupt(progress: Progress) -> None:
        if progress.done == steps and progress.task in ("retrieval", "pre-training", "ranking"):
            os.kill(os.getpid(), number)

    return interrupt


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def with_val(pictures: list[CaptionedPicture], count: int = 8) -> list[CaptionedPicture]:
    return [*pictures[count:], *(replace(picture, split="val") for picture in pictures[:count])]


@pytest.mark.slow
def test_a_tiny_model_learns_32_pictures_by_heart_in_both_streams_and_directions(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    options = replace(OPTIONS, epochs=250, batch=32, optimizer=OptimizerOptions(learning_rate=3e-3, weight_decay=0))

    run(tiny_start, mosaics, tmp_path / "out", options, fresh="all")

    network, processor = load_checkpoint(tmp_path / "out")
    grids = encode_grids(network, processor, mosaics, tmp_path / "cache", silent)
    whole = evaluate(network, processor, mosaics, grids, (32,))
    for direction in (whole.text_to_image, whole.image_to_text):
        assert direction.first_stage.r1 == direction.reranked[32].r1 == 100


@pytest.mark.parametrize(
    "objective",
    [
        PreTrainingOptions(),
        RankingOptions(negatives=8, hardest=3),
        ContrastiveOptions(queue=24, soft_labels=0.4),
    ],
)
def test_a_run_that_was_stopped_ends_with_the_very_weights_of_one_that_was_not(
    objective: PreTrainingOptions | RankingOptions | ContrastiveOptions,
    tiny_start: Path,
    mosaics: list[CaptionedPicture],
    tmp_path: Path,
) -> None:
    options = replace(OPTIONS, loop=replace(OPTIONS.loop, ema=0.9, accumulate=2, clip=1.0))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    run(tiny_start, mosaics, whole, options, objective)

    with pytest.raises(Interrupted, match="step 3 of 6") as stopped:
        run(tiny_start, mosaics, halves, options, objective, on_progress=interrupt_after(3))
    torch.manual_seed(99)  # another process has other generators
    run(tiny_start, mosaics, halves, options, objective, resume=True)

    assert stopped.value.exit_code == 130
    assert (halves / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert losses(halves) == losses(whole)


@pytest.mark.slow
def test_augmented_pictures_through_a_cnn_in_training_resume_bit_for_bit_too(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    options = replace(
        OPTIONS, epochs=2, train_cnn=True, augment=True, workers=2, optimizer=OptimizerOptions(kind="sgd+adamw")
    )
    run(tiny_start, mosaics, tmp_path / "whole", options)

    with pytest.raises(Interrupted):
        run(tiny_start, mosaics, tmp_path / "halves", options, on_progress=interrupt_after(2, signal.SIGTERM))
    run(tiny_start, mosaics, tmp_path / "halves", replace(options, workers=0), resume=True)

    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "halves")]
    assert weights[0] == weights[1]
    assert not torch.equal(
        state_of(tmp_path / "whole")["model.backbone.head.0.weight"],
        state_of(tiny_start)["model.backbone.head.0.weight"],
    )


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_from_its_last_save(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    options = replace(OPTIONS, loop=replace(OPTIONS.loop, save_every_steps=4))

    def die(progress: Progress) -> None:
        if progress.task == "retrieval" and progress.done == 7:
            raise MemoryError  # nothing is saved on the way out

    run(tiny_start, mosaics, tmp_path / "whole", options)
    with pytest.raises(MemoryError):
        run(tiny_start, mosaics, tmp_path / "killed", options, on_progress=die)
    run(tiny_start, mosaics, tmp_path / "killed", options, resume=True)

    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_a_run_that_ended_leaves_its_checkpoint_figures_and_log_alone(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    report = run(tiny_start, with_val(mosaics), tmp_path / "out")

    files = {"config.json", "tokenizer.json", "model.safetensors", "figures.json", "log.jsonl"}
    assert {file.name for file in (tmp_path / "out").iterdir()} == files
    assert report.pictures == 24
    assert report.best is not None


def test_a_begun_run_is_not_begun_over(tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tiny_start, mosaics, tmp_path, on_progress=interrupt_after(1))

    with pytest.raises(UsageError, match="has not ended"):
        run(tiny_start, mosaics, tmp_path)


def test_where_no_run_was_begun_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        RunFolder(tmp_path).options()


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_batch(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[State] = []
    forward = ContrastiveObjective.forward

    def broken(self: ContrastiveObjective, batch: object) -> dict[str, torch.Tensor]:
        result = forward(self, batch)  # type: ignore[arg-type]
        told.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})
        if len(told) == 3:
            result["loss"] = result["loss"] * float("nan")
            networks.append(self.network)
        return result

    networks: list[torch.nn.Module] = []
    monkeypatch.setattr(ContrastiveObjective, "forward", broken)

    with pytest.raises(TrainingFailed, match=r"step 3: the loss is nan on the batch .*\.png, .*\.png") as failed:
        run(tiny_start, mosaics, tmp_path / "out")

    assert "\n" not in str(failed.value)
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(tensor, told[-1][name])


def test_the_checkpoint_that_val_likes_best_is_kept(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([1.0, 3.0, 2.0])
    seen: list[State] = []

    def judge(task: object, run: EndToEndRun) -> tuple[float, dict[str, object]]:
        seen.append({name: tensor.clone() for name, tensor in run.network.state_dict().items()})
        return next(scores), {}

    monkeypatch.setattr("pixsearch_trainer.end_to_end.pairs._PairTask.judge", judge)

    report = run(tiny_start, with_val(mosaics, 16), tmp_path / "out", replace(OPTIONS, epochs=3))

    assert report.best is not None
    assert report.best.step == 2
    kept = state_of(tmp_path / "out")["similarity_weight"]
    assert kept == seen[1]["similarity_weight"] != seen[2]["similarity_weight"]


def test_an_average_of_the_weights_is_what_is_kept_when_asked_for(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    """With a decay of 0.5 the average after steps 1 and 2 is half of each; after step 1 it is the weights."""
    two_steps = replace(OPTIONS, epochs=1, schedule="step", warm_up=0.0)  # the first step is that of a shorter run
    one, two, average = tmp_path / "one", tmp_path / "two", tmp_path / "average"
    run(tiny_start, mosaics, one, replace(two_steps, epochs=0.5))
    run(tiny_start, mosaics, two, two_steps)
    run(tiny_start, mosaics, average, replace(two_steps, loop=replace(OPTIONS.loop, ema=0.5)))

    after_one, after_two, kept = (state_of(folder) for folder in (one, two, average))
    for name in ("maps.log_scale", "similarity_weight", "itm_head.0.bias"):
        assert not torch.equal(after_one[name], after_two[name])
        assert torch.allclose(kept[name], (after_one[name] + after_two[name]) / 2, atol=1e-7), name


@pytest.mark.slow
def test_pre_training_learns_to_predict_words_and_its_checkpoint_starts_a_retrieval(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    options = replace(OPTIONS, epochs=60)

    run(tiny_start, with_val(mosaics), tmp_path / "pre", options, PreTrainingOptions(), fresh="all")

    lines = [json.loads(line) for line in (tmp_path / "pre" / "log.jsonl").read_text().splitlines()]
    assert sum(line["mlm"] for line in lines[-5:]) < 0.9 * sum(line["mlm"] for line in lines[:5])
    trained, processor = load_network(tmp_path / "pre")
    assert isinstance(trained, PixelBertForPreTraining)
    network, processor = for_task("retrieval", trained, processor)
    assert network.config.task == processor.config.task == "retrieval"
    before, after = trained.state_dict(), network.state_dict()
    shared = [name for name in after if name.startswith(("model.", "itm_head."))]
    assert len(shared) > 20
    assert all(torch.equal(before[name], after[name]) for name in shared)


@pytest.mark.parametrize(("left_out", "losses_left"), [("masked_words", {"itm"}), ("matching", {"mlm"})])
def test_each_part_of_pre_training_can_be_left_out(
    left_out: str, losses_left: set[str], tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    objective = replace(PreTrainingOptions(), **{left_out: False})

    run(tiny_start, mosaics, tmp_path / "out", replace(OPTIONS, epochs=1), objective)

    line = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[0])
    assert {"mlm", "itm"} & line.keys() == losses_left


def test_batch_norms_take_new_statistics_only_when_asked_to(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    options = replace(OPTIONS, epochs=0.5, train_cnn=True)

    run(tiny_start, mosaics, tmp_path / "frozen", options)
    run(tiny_start, mosaics, tmp_path / "trained", replace(options, train_statistics=True))

    name = "model.backbone.head.1.running_mean"
    assert torch.equal(state_of(tmp_path / "frozen")[name], state_of(tiny_start)[name])
    assert not torch.equal(state_of(tmp_path / "trained")[name], state_of(tiny_start)[name])


def test_recomputed_activations_change_no_loss(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    run(tiny_start, mosaics, tmp_path / "kept")
    run(tiny_start, mosaics, tmp_path / "recomputed", replace(OPTIONS, recompute=True))

    assert losses(tmp_path / "recomputed") == pytest.approx(losses(tmp_path / "kept"), rel=1e-4)


def test_one_picture_is_too_few(tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="1 captioned pictures are too few"):
        run(tiny_start, mosaics[:1], tmp_path / "out")


def test_after_another_task_the_maps_take_new_statistics_and_what_the_transformer_reads_stays_as_it_was(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path
) -> None:
    run(tiny_start, mosaics, tmp_path / "maps", replace(OPTIONS, epochs=0.5), fresh="maps")
    run(tiny_start, mosaics, tmp_path / "all", replace(OPTIONS, epochs=0.5), fresh="all")

    start, maps, everything = (state_of(folder) for folder in (tiny_start, tmp_path / "maps", tmp_path / "all"))
    assert not torch.equal(maps["maps.standardise.mean"], start["maps.standardise.mean"])
    assert torch.equal(maps["model.standardise.mean"], start["model.standardise.mean"])
    assert not torch.equal(everything["model.standardise.mean"], start["model.standardise.mean"])


def test_where_the_grids_take_more_room_than_they_may_the_cnn_runs_each_time(
    tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch_trainer.features.autocast", lambda device: nullcontext())  # as OPTIONS.precision
    run(tiny_start, mosaics, tmp_path / "cached")
    run(tiny_start, mosaics, tmp_path / "uncached", replace(OPTIONS, cache_gb=1e-9))

    assert losses(tmp_path / "uncached") != losses(tmp_path / "cached")
    assert losses(tmp_path / "uncached") == pytest.approx(losses(tmp_path / "cached"), rel=0.02)  # a byte a value


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch compiles by a C++ compiler")
def test_compiled_layers_change_no_loss(tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path) -> None:
    network, processor = load_network(tiny_start)
    network.config = processor.config = replace(network.config, dropout=0.0)  # compiled code draws it otherwise
    save_checkpoint(tmp_path / "start", network, processor)
    short = replace(OPTIONS, epochs=1)

    run(tmp_path / "start", mosaics, tmp_path / "eager", short)
    run(tmp_path / "start", mosaics, tmp_path / "compiled", replace(short, compile=True))

    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "eager"), rel=1e-4)


@pytest.mark.slow
def test_bf16_trains_to_much_the_same_loss(tiny_start: Path, mosaics: list[CaptionedPicture], tmp_path: Path) -> None:
    run(tiny_start, mosaics, tmp_path / "fp32")
    run(tiny_start, mosaics, tmp_path / "bf16", replace(OPTIONS, precision="bf16"))

    assert losses(tmp_path / "bf16") != losses(tmp_path / "fp32")
    assert losses(tmp_path / "bf16")[0] == pytest.approx(losses(tmp_path / "fp32")[0], rel=0.05)


@pytest.mark.parametrize("train_cnn", [False, True])
@pytest.mark.parametrize(
    "objective", [PreTrainingOptions(), ContrastiveOptions(sampled_pixels=3), RankingOptions(4, 2)]
)
def test_pictures_of_all_shapes_are_trained_on_together(
    objective: ObjectiveOptions, train_cnn: bool, tiny_start: Path, tmp_path: Path
) -> None:
    network, processor = load_network(tiny_start)
    network.config = processor.config = replace(network.config, resize="shorter_edge", longest_edge=160)
    save_checkpoint(tmp_path / "start", network, processor)
    pictures = []
    for number, size in enumerate(
        [(64, 64), (64, 128), (160, 64), (100, 70), (64, 300), (80, 80), (128, 64), (64, 64)]
    ):
        file = tmp_path / f"{number}.png"
        Image.effect_noise(size, 80).convert("RGB").save(file)
        pictures.append(CaptionedPicture(file, (f"{chr(97 + number)} b",), "val" if number > 5 else "train"))
    short = replace(OPTIONS, epochs=2, batch=6, train_cnn=train_cnn)

    report = run(tmp_path / "start", pictures, tmp_path / "out", short, objective, fresh="all")

    assert report.best is not None
    assert all(math.isfinite(loss) for loss in losses(tmp_path / "out"))
    assert load_network(tmp_path / "out")[0].config.resize == "shorter_edge"
