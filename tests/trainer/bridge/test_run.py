"""Whole runs, of a few steps on a few pictures: what they train, what they leave alone, what they write."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from pixsearch.errors import DatasetError, Interrupted
from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch_trainer.bridge.first_stage import FirstStageOptions
from pixsearch_trainer.bridge.late_interaction import LateInteractionOptions
from pixsearch_trainer.bridge.pixel_stream import PixelStreamOptions
from pixsearch_trainer.bridge.reranker import RerankerOptions
from pixsearch_trainer.bridge.run import BridgeOptions, BridgeReport, train_bridge
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.optimisation.loop import LoopOptions
from pixsearch_trainer.optimisation.state import RunFolder
from pixsearch_trainer.starting_weights.other_task import Fresh
from tests.tiny_checkpoint import make_tiny_checkpoint

State = dict[str, torch.Tensor]

OPTIONS = BridgeOptions(
    first_stage=FirstStageOptions(epochs=2, batch=6),
    pixel_stream=PixelStreamOptions(steps=2, batch=6, sampled_pixels=2),
    reranker=RerankerOptions(steps=4, block=3, sampled_pixels=2),
    late_interaction=LateInteractionOptions(steps=2, batch=6, sampled_pixels=2),
    measure_every=2,
    candidates=3,
    loop=LoopOptions(log_every=1),
)
NO_RERANKER = replace(
    OPTIONS,
    pixel_stream=replace(OPTIONS.pixel_stream, steps=0),
    reranker=replace(OPTIONS.reranker, steps=0),
    late_interaction=replace(OPTIONS.late_interaction, steps=0),
)
COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[CaptionedPicture]:
    """Discs of four colours, growing; the largest of each colour is val's."""
    folder = tmp_path_factory.mktemp("pictures")
    made = []
    for colour in COLOURS:
        for size in (20, 30, 40, 50):
            picture = Image.new("RGB", (64, 64), "gray")
            ImageDraw.Draw(picture).ellipse((0, 0, size, size), fill=colour)
            file = folder / f"{colour}{size}.png"
            picture.save(file)
            captions = (f"a {colour} disc", f"{colour} and {size} wide")
            made.append(CaptionedPicture(file, captions, "val" if size == 50 else "train"))
    return made


def run(
    start: Path,
    pictures: list[CaptionedPicture],
    out: Path,
    options: BridgeOptions = OPTIONS,
    fresh: Fresh = "nothing",
    said: list[str] | None = None,
    resume: bool = False,
    on_progress: ProgressCallback = silent,
) -> BridgeReport:
    model, processor = load_checkpoint(start)
    lines = [] if said is None else said
    if not resume:
        RunFolder(out).begin({})
    return train_bridge(model, processor, pictures, out, options, fresh, resume, lines.append, on_progress)


def state_of(folder: Path) -> State:
    return load_checkpoint(folder)[0].state_dict()


def changed(before: State, after: State) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


@pytest.fixture(scope="module")
def whole(
    start: Path, pictures: list[CaptionedPicture], tmp_path_factory: pytest.TempPathFactory
) -> tuple[BridgeReport, list[str]]:
    """A run of all stages, and what it said."""
    said: list[str] = []
    return run(start, pictures, tmp_path_factory.mktemp("out") / "model", said=said), said


def test_a_run_leaves_a_checkpoint_that_loads_and_the_figures_of_val_beside_it(
    whole: tuple[BridgeReport, list[str]],
) -> None:
    report, said = whole

    load_checkpoint(report.folder)
    figures = json.loads((report.folder / "figures.json").read_text())
    assert [figure["moment"] for figure in figures] == [
        "first stage",
        *("re-ranker, step 2", "re-ranker, step 4"),
        "late interaction, step 2",
        "end",
    ]
    assert [list(figure["text_to_image"]["reranked"]) for figure in figures] == [[], ["3"], ["3"], ["3"], ["3"]]
    assert sum(line.startswith("val, ") for line in said) == len(said) == 7  # five measures, the weight and the gate


def test_the_report_counts_training_pictures_and_their_different_captions(
    whole: tuple[BridgeReport, list[str]],
) -> None:
    report, _ = whole

    # Twelve of sixteen pictures are trained on; four sentences name a colour, twelve a colour and a size.
    assert (report.pictures, report.captions) == (12, 16)
    assert report.evaluation is not None
    assert (report.evaluation.pictures, report.evaluation.captions) == (4, 8)


def test_the_cnn_the_word_embeddings_and_the_statistics_are_as_they_were(
    whole: tuple[BridgeReport, list[str]], start: Path
) -> None:
    touched = changed(state_of(start), state_of(whole[0].folder))

    assert {"maps.text_map.weight", "similarity_weight", "model.pixel_projection.weight"} <= touched
    assert {"late_interaction.word_map.weight", "late_interaction.pixel_map.weight"} <= touched
    assert not any(
        name.startswith(("model.backbone", "model.standardise", "maps.standardise", "model.word_embedding"))
        for name in touched
    )


def test_val_says_whether_results_are_ordered_by_the_re_rank(whole: tuple[BridgeReport, list[str]]) -> None:
    report, _ = whole
    assert report.evaluation is not None
    direction = report.evaluation.text_to_image

    model, _ = load_checkpoint(report.folder)

    assert model.config.rerank == (direction.reranked[3].r1 >= direction.first_stage.r1)


@pytest.mark.slow
def test_the_same_seed_writes_the_same_weights(
    whole: tuple[BridgeReport, list[str]], start: Path, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    run(start, pictures, tmp_path / "again")
    run(start, pictures, tmp_path / "other", replace(OPTIONS, loop=replace(OPTIONS.loop, seed=1)))

    weights = [(folder / "model.safetensors").read_bytes() for folder in (whole[0].folder, tmp_path / "again")]
    assert weights[0] == weights[1]
    assert (tmp_path / "other" / "model.safetensors").read_bytes() != weights[0]


def test_a_fresh_model_takes_its_statistics_and_its_pixels_start_from_the_pictures(
    start: Path, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    # A word that a single picture has: what all have in common says nothing of any.
    told_apart = [replace(pictures[0], captions=("jjj",)), *pictures[1:]]

    run(start, told_apart, tmp_path / "out", NO_RERANKER, fresh="all")

    model, _ = load_checkpoint(tmp_path / "out")
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    touched = changed(state_of(start), model.state_dict())
    assert {"maps.standardise.mean", "model.standardise.deviation", "model.pixel_projection.weight"} <= touched


def test_half_of_what_a_checkpoint_knew_is_kept(start: Path, pictures: list[CaptionedPicture], tmp_path: Path) -> None:
    none_kept = replace(NO_RERANKER, first_stage=replace(NO_RERANKER.first_stage, kept=0.0))
    run(start, pictures, tmp_path / "trained", none_kept)
    run(start, pictures, tmp_path / "out", NO_RERANKER)

    before, trained, kept = (state_of(folder) for folder in (start, tmp_path / "trained", tmp_path / "out"))
    for name in ("maps.text_map.weight", "maps.image_map.weight", "maps.log_scale"):
        moved = (trained[name] - before[name]).norm()
        assert moved > 0
        assert (kept[name] - (before[name] + trained[name]) / 2).norm() < 0.1 * moved, name


def test_without_val_nothing_is_measured_and_the_order_stays(
    start: Path, pictures: list[CaptionedPicture], tmp_path: Path
) -> None:
    said: list[str] = []

    report = run(start, [p for p in pictures if p.split == "train"], tmp_path / "out", said=said)

    assert report.evaluation is None
    assert said == []
    assert not (tmp_path / "out" / "figures.json").exists()
    assert load_checkpoint(tmp_path / "out")[0].config.rerank


def test_what_val_holds_is_not_trained_on(start: Path, pictures: list[CaptionedPicture], tmp_path: Path) -> None:
    other_val = [replace(p, captions=("x", "y z")) if p.split == "val" else p for p in pictures]

    run(start, pictures, tmp_path / "one", NO_RERANKER)
    run(start, other_val, tmp_path / "two", NO_RERANKER)

    differ = changed(state_of(tmp_path / "one"), state_of(tmp_path / "two"))
    assert differ <= {"image_gate", "similarity_weight"}  # which are chosen on val


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "done"),
    [
        ("first stage", 2),
        ("re-ranker", 2),
        pytest.param("pixel stream", 1, marks=pytest.mark.slow),
        pytest.param("first stage without fold 1", 3, marks=pytest.mark.slow),
        pytest.param("late interaction", 1, marks=pytest.mark.slow),
        pytest.param("re-ranker", 4, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_stopped_in_any_stage_ends_as_one_that_was_not(
    start: Path, pictures: list[CaptionedPicture], tmp_path: Path, task: str, done: int
) -> None:
    def interrupt(progress: Progress) -> None:
        if (progress.task, progress.done) == (task, done):
            os.kill(os.getpid(), signal.SIGINT)

    def note(progress: Progress) -> None:
        if progress.task == "encoding pictures":
            encoded.append(progress.total)

    encoded: list[int | None] = []
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    run(start, pictures, whole, fresh="all")

    with pytest.raises(Interrupted, match=f"stopped after step {done} .*{task}"):
        run(start, pictures, halves, fresh="all", on_progress=interrupt)
    run(start, pictures, halves, fresh="all", resume=True, on_progress=note)

    for file in ("model.safetensors", "figures.json", "config.json"):
        assert (halves / file).read_bytes() == (whole / file).read_bytes()
    assert 12 not in encoded  # the training pictures, which were encoded before
    assert {file.name for file in halves.iterdir()} == {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "figures.json",
        "log.jsonl",
    }


def test_one_picture_is_too_few(start: Path, pictures: list[CaptionedPicture], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="1 captioned pictures are too few"):
        run(start, pictures[:1], tmp_path / "out")


def test_a_picture_that_cannot_be_read_is_named(start: Path, pictures: list[CaptionedPicture], tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(pictures[0].file.read_bytes()[:60])
    bad = replace(pictures[0], file=tmp_path / "cut.png")

    with pytest.raises(DatasetError, match=r"cut\.png"):
        run(start, [*pictures, bad], tmp_path / "out")
