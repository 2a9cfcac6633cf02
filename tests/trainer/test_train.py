"""`train`: its data, contradictory options, and results. tests/cli/test_train_cmd.py tests the command."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from pixsearch.errors import DatasetError, PixsearchError, UsageError
from pixsearch.model.checkpoints import CONFIG_FILE, SHIPPED
from pixsearch.model.config import Calibration, Curve, PixelBertConfig
from pixsearch.model.graphs import GRAPHS_FILE, fitting_graphs
from pixsearch.model.words import read_words
from pixsearch.progress import Progress, silent
from pixsearch_trainer.data.pack import write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from pixsearch_trainer.finishing import give_graphs
from pixsearch_trainer.run.state import RunFolder
from tests.other_tasks import write_vqa
from tests.photos import make_photo
from tests.trainer.conftest import Fit, MaterialOf, figures_in, logged_in, refused

STEPS = ("maps.steps=3",)


@pytest.fixture
def discs(tmp_path: Path) -> Path:
    """A folder of six pictures, each with a caption file."""
    for colour in ("red", "green", "blue", "white", "black", "pink"):
        make_photo(tmp_path / "discs" / f"{colour}.png", colour).with_suffix(".txt").write_text(f"all {colour}\n")
    return tmp_path / "discs"


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"recipe": "paper", "stage": ("vqa", "maps")}, UsageError, "--stage vqa cannot be combined"),
        ({"recipe": "paper", "stage": ("nlvr2",)}, DatasetError, "not a pack for the task nlvr2"),
        ({"set": ("maps.steps=0",)}, UsageError, "no stage has any steps"),
        ({"pack": "new.zip", "dry_run": True}, UsageError, "--pack and --dry-run cannot be used together"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(
    options: dict[str, Any], error: type[PixsearchError], says: str, fit: Fit
) -> None:
    with refused(error, says):
        fit(**options)


def test_one_picture_is_too_few(fit: Fit, tmp_path: Path) -> None:
    make_photo(tmp_path / "one" / "red.png").with_suffix(".txt").write_text("all red\n")
    with refused(DatasetError, "training needs at least 2 captioned pictures, but the train split has 1"):
        fit(data=tmp_path / "one")


def test_fewer_pictures_than_processes_are_too_few(
    material_of: MaterialOf, packed: list[CaptionedPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", 4)

    with pytest.raises(DatasetError, match="training needs at least 4 captioned pictures, but the train split has 3"):
        material_of(packed[:3])


def test_a_run_that_was_killed_while_it_packed_pictures_is_started_again(
    fit: Fit, discs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(progress: Progress) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "end", lambda folder: None)  # a killed process does not reach this
        with pytest.raises(KeyboardInterrupt):
            fit(killed, data=discs)

    with pytest.raises(UsageError, match=r"stopped before its pictures were packed\. Start again without"):
        fit(data=discs, resume=True)
    assert fit(data=discs, set=STEPS).pictures == 6


def test_the_paper_names_no_teacher_to_pictures_without_captions(fit: Fit, discs: Path) -> None:
    (discs / "green.txt").unlink()
    problems: list[Problem] = []

    report = fit(on_problems=problems.extend, recipe="paper", stage=("maps",), set=STEPS, data=discs)

    assert [str(problem) for problem in problems] == [f"{discs}: 1 picture without captions"]  # --teacher is refused
    assert (report.pictures, report.captions) == (5, 5)


def test_a_checkpoint_lists_the_words_that_it_and_its_start_were_taught(
    fit: Fit, discs: Path, tiny_start: Path, tmp_path: Path
) -> None:
    start = Path(shutil.copytree(tiny_start, tmp_path / "start"))
    fit(model=start, data=discs, set=STEPS)
    assert read_words(tmp_path / "out") is None  # the starting model's training words are unknown

    (start / "words.txt").write_text("red\t3\ncat\t2\n")
    fit(model=start, data=discs, set=STEPS)

    colours = dict.fromkeys(("green", "blue", "white", "black", "pink"), 1)
    assert read_words(tmp_path / "out") == {"all": 6, "red": 4, "cat": 2} | colours


def test_a_pack_is_trained_on_elsewhere_with_the_same_result(fit: Fit, discs: Path, tmp_path: Path) -> None:
    pack, out = tmp_path / "discs.zip", tmp_path / "out"
    fit(data=discs, pack=pack)
    assert not out.exists()
    fit(data=discs, set=STEPS)

    discs.rename(tmp_path / "gone")
    moved = pack.rename(tmp_path / "gone" / "moved.zip")
    fit(data=moved, set=STEPS, out=tmp_path / "elsewhere")

    assert weights_of(tmp_path / "elsewhere") == weights_of(out)
    assert moved.exists()
    left = {
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "graphs.zip",
        "log.jsonl",
    }  # with val, also figures.json
    assert {file.name for file in out.iterdir()} == left


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({}, ["maps", "late"]),  # also late, for which a real run needs more pictures
        ({"recipe": "shipped", "stage": ("maps", "pixels"), "minutes": 60.0}, ["maps", "pixels"]),
        ({"recipe": "paper", "set": ("ranking.negatives=3",)}, ["pretraining", "ranking", "maps"]),
    ],
)
def test_a_dry_run_does_a_step_of_each_stage_and_writes_nothing(
    options: dict[str, Any], stages: list[str], fit: Fit, discs: Path, tmp_path: Path
) -> None:
    steps: list[tuple[str, int, int | None]] = []
    before = set(tmp_path.rglob("*"))

    fit(lambda one: steps.append((one.task, one.done, one.total)), data=discs, dry_run=True, **options)

    assert set(tmp_path.rglob("*")) == before
    assert [step for step in steps if step[0] in {"late", *stages}] == [(stage, 1, 1) for stage in stages]


def test_the_same_seed_trains_the_same_weights_and_another_one_others(fit: Fit, tmp_path: Path) -> None:
    write_vqa(tmp_path / "vqa", {"train2014": 20})
    options: dict[str, Any] = {"recipe": "paper", "stage": ("vqa",), "data": tmp_path / "vqa"}
    for number, (name, seed) in enumerate((("once", 1), ("again", 1), ("other", 2))):
        torch.manual_seed(number)  # the new head depends only on the seed
        fit(**options, set=("vqa.steps=1", "vqa.train_cnn=false"), seed=seed, out=tmp_path / name)

    once, again, other = (weights_of(tmp_path / name) for name in ("once", "again", "other"))
    assert once == again != other


def test_what_val_holds_is_not_trained_on(fit: Fit, mosaics: list[CaptionedPicture], tmp_path: Path) -> None:
    images = (str(mosaics[0].file.parent),)
    for name, val in (("one", mosaics[8:12]), ("two", mosaics[12:16])):
        rows = [f"{picture.file.name},{picture.captions[0]},train" for picture in mosaics[:8]]
        rows += [f"{picture.file.name},{picture.captions[0]},val" for picture in val]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,caption,split", *rows]))
        report = fit(data=tmp_path / f"{name}.csv", images=images, set=STEPS, out=tmp_path / name)
        assert (report.pictures, report.captions) == (8, 8)

    assert logged_in(tmp_path / "one") == logged_in(tmp_path / "two")
    assert figures_in(tmp_path / "one")[0]["pictures"] == 4


@pytest.mark.slow
def test_bf16_trains_to_much_the_same_losses(fit: Fit, tmp_path: Path) -> None:
    losses = []
    for precision in ("no", "bf16"):
        out = tmp_path / precision
        # Not a stage that trains the CNN, because random weights amplify bf16 rounding errors.
        fit(recipe="shipped", stage=("joint",), set=("joint.steps=2",), precision=precision, out=out)
        losses.append(logged_in(out)[0]["loss"])

    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


def test_packing_that_fails_leaves_no_pack_and_another_unfinished_run_as_it_is(
    fit: Fit, discs: Path, tmp_path: Path
) -> None:
    unfinished = tmp_path / "out" / "run" / "state.pt"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half a run")
    (discs / "red.png").write_bytes((discs / "red.png").read_bytes()[:40])

    with pytest.raises(DatasetError, match="more than the 0 allowed"):
        fit(data=discs, pack=tmp_path / "new.zip", max_bad=0)

    assert not (tmp_path / "new.zip").exists()
    assert unfinished.read_bytes() == b"half a run"


def test_pictures_without_captions_in_a_pack_are_for_a_teacher_alone(fit: Fit, discs: Path, tmp_path: Path) -> None:
    pictures = [
        CaptionedPicture(file, ("a disc",) if number else ()) for number, file in enumerate(discs.glob("*.png"))
    ]
    write_pack(pictures, tmp_path / "mixed.zip", 64, silent)

    assert fit(data=tmp_path / "mixed.zip", set=STEPS).pictures == 5


def test_a_recipe_that_does_not_calibrate_keeps_no_calibration_of_other_weights(
    fit: Fit, tiny_start: Path, tmp_path: Path
) -> None:
    start = shutil.copytree(tiny_start, tmp_path / "calibrated")
    config = PixelBertConfig.load(start / CONFIG_FILE)
    dataclasses.replace(config, calibration=Calibration(Curve(2.0, -1.0), Curve(2.0, -1.0))).save(start / CONFIG_FILE)

    fit(model=start, recipe="shipped", stage=("maps",), set=STEPS)

    assert PixelBertConfig.load(tmp_path / "out" / CONFIG_FILE).calibration is None


def test_a_run_leaves_the_graphs_of_its_start_where_the_shapes_are_the_same(
    fit: Fit, tiny_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixsearch.model.tracing.add_graphs", None)

    fit(set=STEPS)

    assert (tmp_path / "out" / GRAPHS_FILE).read_bytes() == (tiny_start / GRAPHS_FILE).read_bytes()


def test_graphs_of_other_shapes_are_made_anew(tiny_start: Path, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(tiny_start, tmp_path / "checkpoint"))
    (checkpoint / GRAPHS_FILE).unlink()

    give_graphs(checkpoint, SHIPPED, print)

    assert fitting_graphs(checkpoint, PixelBertConfig.load(checkpoint / CONFIG_FILE)) is not None


def test_without_openvino_a_run_leaves_no_graphs_and_says_how_to_make_them(
    tiny_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Path(shutil.copytree(tiny_start, tmp_path / "a checkpoint"))
    (checkpoint / GRAPHS_FILE).unlink()
    monkeypatch.setitem(sys.modules, "pixsearch.model.tracing", None)  # importing it raises ImportError
    messages: list[str] = []

    give_graphs(checkpoint, SHIPPED, messages.append)

    assert not (checkpoint / GRAPHS_FILE).exists()
    assert [line.endswith(f"pixsearch add-graphs '{checkpoint}'") for line in messages] == [True]


@pytest.mark.parametrize("setting", ["maps.feature_dropout=2", "maps.batch=0", "late.softness=-1", "maps.share=0"])
def test_an_impossible_number_is_refused_in_one_line(fit: Fit, setting: str) -> None:
    name = setting.partition(".")[2].partition("=")[0]
    with refused(UsageError, rf"{name} must be|invalid value \S+ for \S+\.{name}\."):
        fit(set=(setting,))
