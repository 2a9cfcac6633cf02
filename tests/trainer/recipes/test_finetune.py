"""`finetune`: what is trained on few pictures, what is kept from the checkpoint, and the choices made on val."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from pixsearch.model.checkpoints import load_checkpoint
from pixsearch.model.config import PixelBertConfig
from pixsearch.model.late_scores import ReadText
from pixsearch.progress import silent
from pixsearch_trainer.data.pack import read_pack, write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.finishing import finish
from pixsearch_trainer.options import with_settings
from pixsearch_trainer.recipes.finetune import FINETUNE
from tests.colour_runtime import ColourRuntime, Floats
from tests.photos import make_photo
from tests.trainer.conftest import Fit, Pictures


@pytest.mark.parametrize(("pictures", "settings", "steps"), [(1999, [], 0), (2000, [], 1500), (9, ["late.steps=7"], 7)])
def test_few_pictures_leave_late_interaction_alone_unless_steps_are_set(
    pictures: int, settings: list[str], steps: int
) -> None:
    assert FINETUNE.adjust(with_settings(FINETUNE.options, settings), pictures).late.steps == steps


def test_the_maps_are_trained_half_of_them_is_kept_and_all_else_stays(
    fit: Fit, packed: Pictures, tiny_start: Path, tmp_path: Path
) -> None:
    start, data = tmp_path / "start", packed[0].file.parent  # without a val split
    fit(data=data, set=("maps.steps=1", "maps.learning_rate=0"), out=start)  # sets the statistics
    fit(data=data, model=start, set=("maps.steps=3", "maps.kept=0"), out=tmp_path / "trained")
    fit(data=data, model=start, set=("maps.steps=3",), out=tmp_path / "kept")

    unfitted = load_checkpoint(tiny_start)[0].state_dict()
    before, trained, kept = (load_checkpoint(tmp_path / out)[0].state_dict() for out in ("start", "trained", "kept"))
    touched = {name for name, tensor in before.items() if not torch.equal(tensor, kept[name])}
    assert not torch.equal(unfitted["maps.standardise.mean"], before["maps.standardise.mean"])
    assert touched == {name for name in before if name.startswith("maps.") and "standardise" not in name}
    for name in touched:
        moved = (trained[name] - before[name]).norm()
        assert (kept[name] - (before[name] + trained[name]) / 2).norm() < 0.1 * moved, name  # files are in fp16


class Contrary(ColourRuntime):
    """A runtime that gives better matches lower match logits."""

    def match(self, texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        return -super().match(texts, grids, late_scores)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """A pack with a red, a green and a blue square, each with 20 captions."""
    folder, made = tmp_path_factory.mktemp("squares"), []
    for word, colour in (("red", "red"), ("green", "lime"), ("blue", "blue")):
        captions = tuple(f"{word} {number}" for number in range(20))
        made.append(CaptionedPicture(make_photo(folder / f"{word}.png", colour), captions, "val"))
    write_pack(made, folder / "squares.zip", 8, silent)
    return [item for item in read_pack(folder / "squares.zip") if isinstance(item, CaptionedPicture)]


def finished(checkpoint: Path, val: Pictures, runtime: type[ColourRuntime]) -> tuple[PixelBertConfig, list[str]]:
    """Return the config after `finish`, and its messages."""
    lines: list[str] = []
    finish(checkpoint, val, lines.append, silent, load=lambda folder: runtime())
    return PixelBertConfig.load(checkpoint / "config.json"), lines


def test_val_calibrates_a_re_rank_that_is_no_worse_and_orders_by_it(
    squares: Pictures, tiny_start: Path, tmp_path: Path
) -> None:
    config, lines = finished(shutil.copytree(tiny_start, tmp_path / "model"), squares, ColourRuntime)

    assert lines == ["val, final: text-to-image R@1 100.0 in the first stage, 100.0 re-ranked"]
    assert config.rerank
    # Each picture has a logit of 5 with its first caption and -5 with one other. The right pairs have 6% of the
    # total weight of 6, so Platt's targets are 1.36 / 2.36 and 1 / 7.64.
    right, wrong = math.log(1.36), -math.log(6.64)
    assert config.calibration is not None
    assert config.calibration.joint is not None
    assert config.calibration.joint.slope == pytest.approx((right - wrong) / 10, rel=0.03)
    assert config.calibration.joint.intercept == pytest.approx((right + wrong) / 2, abs=0.03)
    # The late scores are 1 and 0.
    assert config.calibration.late.slope == pytest.approx(right - wrong, rel=0.03)
    assert config.calibration.late.intercept == pytest.approx(wrong, abs=0.03)


def test_a_re_rank_that_is_worse_on_val_is_not_the_order_and_a_small_val_decides_nothing(
    squares: Pictures, tiny_start: Path, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(tiny_start, tmp_path / "model")

    assert finished(checkpoint, squares[:2], Contrary) == (PixelBertConfig.load(tiny_start / "config.json"), [])
    config, lines = finished(checkpoint, squares, Contrary)

    assert not config.rerank
    assert config.calibration is None
    assert ", 0.0 re-ranked" in lines[0]
    assert lines[1].startswith("not calibrated: the match logits are not higher")
