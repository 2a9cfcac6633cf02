from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime


def test_the_table_shows_both_figures_and_the_path_unbroken(run: Run, indexed: Path, photos: Path) -> None:
    outcome = run("query", "red")

    # pink is (1, 0.4, 0.4): match 10 x 1 - 5, cosine 1 / sqrt(1.32)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines() == [
        "rank  match  similarity  photo",
        f"   1   5.00   0.870 (2)  {photos}/pink.png",
        f"   2  -3.00   1.000 (1)  {photos}/dark red.png",
        f"   3  -5.00   0.000 (3)  {photos}/blue again.png (and 1 copy)",
    ]
    assert outcome.stderr == ""


def test_a_calibrated_match_is_shown_in_percent(run: Run, model: ColourRuntime, indexed: Path, photos: Path) -> None:
    model.calibrated = True

    # 1 / (1 + e^-5) = 0.9933
    assert f"   1    99%   0.870 (2)  {photos}/pink.png" in run("query", "red").stdout.splitlines()


def test_without_re_rank_there_is_no_match_column(run: Run, indexed: Path, photos: Path) -> None:
    assert run("query", "red", "--no-rerank", "--top-k", "2").stdout.splitlines() == [
        "rank  similarity  photo",
        f"   1   1.000 (1)  {photos}/dark red.png",
        f"   2   0.870 (2)  {photos}/pink.png",
    ]


def test_json_is_an_object_a_line_best_first(run: Run, indexed: Path, photos: Path) -> None:
    lines = [json.loads(line) for line in run("query", "red", "--json").stdout.splitlines()]

    assert [(line["rank"], line["path"]) for line in lines] == [
        (1, f"{photos}/pink.png"),
        (2, f"{photos}/dark red.png"),
        (3, f"{photos}/blue again.png"),
    ]
    assert lines[0] == {
        "rank": 1,
        "path": f"{photos}/pink.png",
        "similarity": pytest.approx(0.870388, abs=1e-6),
        "similarity_rank": 2,
        "match": pytest.approx(5.0, abs=1e-5),
        "probability": None,
        "copies": [],
    }
    assert lines[2]["copies"] == [f"{photos}/blue.png"]


def test_top_k_limits_the_answer(run: Run, indexed: Path) -> None:
    assert len(run("query", "red", "-k", "1", "--json").stdout.splitlines()) == 1


def test_candidates_limit_what_is_re_ranked(run: Run, model: ColourRuntime, indexed: Path) -> None:
    line = run("query", "red", "-k", "1", "--candidates", "1", "--json").stdout

    assert Path(json.loads(line)["path"]).name == "dark red.png"
    assert model.pairs_matched == 1


def test_re_rank_can_be_asked_for(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.default_order = "similarity"

    by_default, asked_for = run("query", "red", "--json"), run("query", "red", "--rerank", "--json")

    assert Path(json.loads(by_default.stdout.splitlines()[0])["path"]).name == "dark red.png"
    assert Path(json.loads(asked_for.stdout.splitlines()[0])["path"]).name == "pink.png"


def test_a_picture_finds_itself_first(run: Run, indexed: Path, photos: Path) -> None:
    assert run("query", "--image", photos / "pink.png", "-k", "1").stdout.splitlines() == [
        "rank  similarity  photo",
        f"   1   1.000 (1)  {photos}/pink.png",
    ]


def test_a_picture_that_is_not_there_is_named(run: Run, indexed: Path, tmp_path: Path) -> None:
    outcome = run("query", "--image", tmp_path / "none.jpg")

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith(f"pixsearch: {tmp_path / 'none.jpg'}: ")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["  "],
        [],
        ["red", "--image", "x.png"],
        ["--image", "x.png", "--rerank"],
        ["red", "-k", "0"],
        ["red", "--candidates", "0"],
        ["red", "--no-such-option"],
        ["red", "-k", "many"],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_no_result(run: Run, indexed: Path, arguments: list[str]) -> None:
    outcome = run("query", *arguments)

    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert outcome.stderr


def test_no_library_yet_says_how_to_make_one(run: Run, model: ColourRuntime, library: Path) -> None:
    outcome = run("query", "red")

    assert outcome.exit_code == 1
    assert outcome.stderr == f"pixsearch: there is no library in {library} yet. Make one with: pixsearch index FOLDER\n"
    assert not library.exists()


def test_nothing_matches_in_an_empty_library(run: Run, model: ColourRuntime, library: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("index", tmp_path / "empty").exit_code == 0

    outcome = run("query", "red", "--json")

    assert (outcome.exit_code, outcome.stdout) == (3, "")
    assert outcome.stderr == "pixsearch: nothing in this library matches\n"


def test_a_library_of_another_model_is_refused_with_what_to_do(run: Run, model: ColourRuntime, indexed: Path) -> None:
    model.fingerprint = "ff" * 32

    outcome = run("query", "red")

    assert outcome.exit_code == 1
    assert "indexed by the model colours" in outcome.stderr
    assert "--model" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_library_wins_over_the_environment(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other library"
    (photos / "pink.png").rename(tmp_path / "pink.png")
    run("index", photos, "--library", other)

    outcome = run("query", "red", "--json", "--library", other)

    assert [Path(json.loads(line)["path"]).name for line in outcome.stdout.splitlines()] == [
        "dark red.png",
        "blue again.png",
    ]


def test_a_name_with_line_breaks_and_escapes_cannot_fool_the_terminal(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "pink.png").rename(photos / "a\n\x1b[31mb[bold].png")
    run("index", photos)

    assert rf"{photos}/a\n\x1b[31mb[bold].png" in run("query", "red").stdout
