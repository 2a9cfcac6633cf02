from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from pixsearch.errors import WordsNotLocated
from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.unsuitable_files import reading


def test_each_word_is_a_line_and_the_match_is_said(run: Run, model: ColourRuntime, photos: Path) -> None:
    model.calibrated = True

    # In a word's column, the cosine is 0.25 in the upper row and 0.5 in the lower one. At the outermost point of a
    # corner, the corner's cell has a share of 0.7705 in each direction (see tests/search):
    # 0.7705 x (0.2295 x 0.25 + 0.7705 x 0.5) = 0.34. Pink is (1, 0.4, 0.4), so the match is 10 x 1.4 - 5.
    assert run("explain", "red blue", photos / "pink.png").stdout.splitlines() == [
        "cosine  strongest in  word",
        "  0.34   bottom left  red",
        "  0.34  bottom right  blue",
        "match 9.00, probability 100%",
    ]


def test_json_has_the_regions(run: Run, model: ColourRuntime, photos: Path) -> None:
    printed = json.loads(run("explain", "the red blue", photos / "pink.png", "--json").stdout)

    assert list(printed) == ["match", "probability", "words", "regions"]
    assert printed["words"] == ["red", "blue"]
    assert [len(region) for region in printed["regions"]] == [8, 8]
    assert {len(row) for region in printed["regions"] for row in region} == {12}
    assert {min(map(min, region)) for region in printed["regions"]} == {0.0}
    assert {max(map(max, region)) for region in printed["regions"]} == {1.0}


def test_a_model_that_cannot_locate_words_says_so(
    run: Run, model: ColourRuntime, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locate_words(*_: object) -> None:
        raise WordsNotLocated("the model tiny cannot show where words are", "Use another model")

    monkeypatch.setattr(model, "locate_words", locate_words)

    outcome = run("explain", "red", photos / "pink.png")

    assert outcome.exit_code == 1
    assert outcome.stderr == "pixsearch: the model tiny cannot show where words are. Use another model\n"


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
