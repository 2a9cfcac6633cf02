from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint

COLOURS = ("red", "green", "blue", "pink")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


def write(folder: Path, **splits: tuple[str, ...]) -> Path:
    """Karpathy's JSON of pictures in these colours."""
    images = []
    for split, colours in splits.items():
        for colour in colours:
            make_photo(folder / f"{colour}.png", colour)
            images.append({"filename": f"{colour}.png", "split": split, "sentences": [{"raw": f"all {colour}"}]})
    file = folder / "dataset.json"
    file.write_text(json.dumps({"images": images}))
    return file


def test_val_is_measured_unless_another_split_is_named(run: Run, tmp_path: Path, model: Path) -> None:
    data = write(tmp_path, train=COLOURS[:2], val=COLOURS[2:3], test=COLOURS[3:])

    of_val = run("evaluate", "--data", data, "--model", model)
    of_train = run("evaluate", "--data", data, "--model", model, "--split", "train")

    assert "1 pictures, 1 captions" in of_val.stdout
    assert "2 pictures, 2 captions" in of_train.stdout


def test_the_only_split_there_is_is_measured(run: Run, tmp_path: Path, model: Path) -> None:
    data = write(tmp_path, test=COLOURS)

    assert "4 pictures, 4 captions" in run("evaluate", "--data", data, "--model", model).stdout


@pytest.mark.parametrize("arguments", [["--split", "nothing"], []])
def test_a_split_without_pictures_is_a_wrong_question_and_the_splits_are_named(
    run: Run, tmp_path: Path, model: Path, arguments: list[str]
) -> None:
    data = write(tmp_path, train=COLOURS[:2], test=COLOURS[2:])

    outcome = run("evaluate", "--data", data, "--model", model, *arguments)

    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "there is no picture to evaluate on" in outcome.stderr
    assert "It has train, test" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_the_table_has_a_row_for_each_stage_and_number_of_candidates(run: Run, tmp_path: Path, model: Path) -> None:
    data = write(tmp_path, val=COLOURS)

    outcome = run("evaluate", "--data", data, "--model", model, "--candidates", "2", "--full")

    heading, *rows = outcome.stdout.splitlines()
    assert heading.split()[:5] == ["R@1", "R@5", "R@10", "median", "rank"]
    assert [row.split("  ")[-1].strip() for row in rows] == [
        f"{direction}, {stage}"
        for direction in ("text to image", "image to text")
        for stage in ("first stage", "re-ranked 2", "re-ranked 4")
    ]


def test_json_is_the_agreed_object_in_one_line(run: Run, tmp_path: Path, model: Path) -> None:
    data = write(tmp_path, val=COLOURS)

    outcome = run("evaluate", "--data", data, "--model", model, "--candidates", "2", "--candidates", "3", "--json")

    [line] = outcome.stdout.splitlines()
    figures = json.loads(line)
    assert figures.keys() == {"text_to_image", "image_to_text"}
    for direction in figures.values():
        assert direction.keys() == {"first_stage", "reranked"}
        assert direction["reranked"].keys() == {"2", "3"}
        for recall in (direction["first_stage"], *direction["reranked"].values()):
            assert recall.keys() == {"r@1", "r@5", "r@10", "median_rank", "milliseconds"}
            assert 0 <= recall["r@1"] <= recall["r@5"] <= recall["r@10"] <= 100


def test_sixty_four_are_re_ranked_by_default_and_none_on_request(run: Run, tmp_path: Path, model: Path) -> None:
    data = write(tmp_path, val=COLOURS)

    assert "re-ranked 32" in run("evaluate", "--data", data, "--model", model).stdout
    assert "re-ranked" not in run("evaluate", "--data", data, "--model", model, "--no-rerank").stdout
    refused = run("evaluate", "--data", data, "--model", model, "--no-rerank", "--candidates", "5")
    assert refused.exit_code == 2
    assert "--no-rerank leaves no candidates" in refused.stderr


def test_problems_of_the_data_are_named_up_to_a_limit(run: Run, tmp_path: Path, model: Path) -> None:
    data = write(tmp_path, val=COLOURS)
    (tmp_path / "red.png").unlink()

    passed = run("evaluate", "--data", data, "--model", model, "--no-rerank")
    refused = run("evaluate", "--data", data, "--model", model, "--max-bad", "0")

    assert "3 pictures, 3 captions" in passed.stdout
    assert "passed over:" in passed.stderr
    assert "red.png" in passed.stderr
    assert refused.exit_code == 1
    assert "more than the 0 allowed" in refused.stderr
