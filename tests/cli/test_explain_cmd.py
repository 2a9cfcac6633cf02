from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.unsuitable_files import reading


def test_each_word_is_a_line_and_the_match_is_said(run: Run, model: ColourRuntime, photos: Path) -> None:
    model.calibrated = True

    # Attention is 0.25 + 0.5 in a word's own column of two; pink is (1, 0.4, 0.4): match 10 x 1.4 - 5
    assert run("explain", "red blue", photos / "pink.png").stdout.splitlines() == [
        "attention       most at  word",
        "      75%   bottom left  red",
        "      75%  bottom right  blue",
        "match 9.00, probability 100%",
    ]


def test_json_has_the_attention_itself(run: Run, model: ColourRuntime, photos: Path) -> None:
    assert json.loads(run("explain", "red blue", photos / "pink.png", "--json").stdout) == {
        "match": pytest.approx(9.0, abs=1e-5),
        "probability": None,
        "words": ["red", "blue"],
        "attention": [[[0.25, 0.0], [0.5, 0.0]], [[0.0, 0.25], [0.0, 0.5]]],
    }


def test_the_maps_are_drawn(run: Run, model: ColourRuntime, photos: Path, tmp_path: Path) -> None:
    run("explain", "red blue", photos / "pink.png", "--out", tmp_path / "map.png")

    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.format == "PNG"


def test_a_map_is_a_png(run: Run, model: ColourRuntime, photos: Path, tmp_path: Path) -> None:
    outcome = run("explain", "red", photos / "pink.png", "--out", tmp_path / "map.jpg")

    assert outcome.exit_code == 2
    assert list(tmp_path.glob("map*")) == []


def test_a_photo_that_is_not_there_is_named(run: Run, model: ColourRuntime, tmp_path: Path) -> None:
    outcome = run("explain", "red", tmp_path / "none.jpg")

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"pixsearch: {tmp_path / 'none.jpg'}: cannot be read")


def test_maps_go_to_where_a_link_leads_and_into_a_pipe(
    run: Run, model: ColourRuntime, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "map.png").symlink_to("target")
    os.mkfifo(tmp_path / "pipe")

    run("explain", "red", photos / "pink.png", "--out", tmp_path / "map.png")
    with reading(tmp_path / "pipe") as reader:
        outcome = run("explain", "red", photos / "pink.png", "--out", tmp_path / "pipe")
        drawn, _ = reader.communicate()

    assert outcome.exit_code == 0
    assert (tmp_path / "map.png").is_symlink()
    assert (tmp_path / "target").read_bytes() == drawn
    assert drawn.startswith(b"\x89PNG")
