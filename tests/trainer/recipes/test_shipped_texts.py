"""`shipped` on data where some pictures have queries, labels and near misses, with a classifier as teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pixsearch.errors import Interrupted
from pixsearch.progress import ProgressCallback, silent
from pixsearch_trainer.data.pack import write_pack
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.options import TrainOptions
from pixsearch_trainer.train import Listener, train
from tests.trainer.conftest import logged_in, stop_at
from tests.trainer.test_classes import classifier_in


def test_a_run_learns_from_all_of_it_and_resumes_as_if_it_had_not_been_stopped(
    mosaics: list[CaptionedPicture], tiny_start: Path, tmp_path: Path
) -> None:
    further = [
        replace(one, queries=(one.captions[0][:2],), labels=("mosaic",), near_misses=(f"{other.captions[1]} z",))
        for one, other in zip(mosaics[:8], mosaics[8:16], strict=True)
    ]
    pictures = [*further, *mosaics[8:14], replace(mosaics[14], split="val"), replace(mosaics[15], split="val")]
    write_pack(pictures, tmp_path / "data.zip", 64, silent)
    classifier = classifier_in(tmp_path).file
    settings = ("maps.steps=3", "cnn.steps=3", "cnn.batch=7", "joint.steps=3", "joint.batch=2", "joint.block=4")
    options = TrainOptions(
        recipe="shipped",
        stage=("maps", "cnn", "joint"),
        set=(*settings, f"maps.classifier={classifier}", f"cnn.classifier={classifier}"),
        model=str(tiny_start),
        data=(str(tmp_path / "data.zip"),),
        precision="no",
        workers=0,
    )

    def run(out: Path, on_progress: ProgressCallback = silent, resume: bool = False) -> None:
        train(replace(options, out=str(out), resume=resume), Listener(on_progress=on_progress))

    run(tmp_path / "whole")
    for number, stage in enumerate(options.stage):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", stop_at(stage, 2), resume=number > 0)
    run(tmp_path / "parts", resume=True)

    logged = logged_in(tmp_path / "whole")
    assert logged == logged_in(tmp_path / "parts")
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "parts/model.safetensors").read_bytes()
    names = set().union(*logged)
    assert names >= {"near_misses", "classes", "late_near_misses", "itm_near_misses"}
