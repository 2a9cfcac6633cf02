from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixsearch.model.load_runtime import load_runtime
from pixsearch.progress import silent
from pixsearch_trainer.data.pack import write_pack
from pixsearch_trainer.data.reading import read_captioned
from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo
from tests.tiny_checkpoint import make_tiny_checkpoint

COLOURS = ("red", "green", "blue", "pink")


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> ColourRuntime:
    """The model for every command in the test, whose scores can be worked out by hand."""
    runtime = ColourRuntime()
    monkeypatch.setattr("pixsearch.model.load_runtime.load_runtime", lambda checkpoint: runtime)
    return runtime


def write(folder: Path, **splits: tuple[str, ...]) -> Path:
    """Write pictures in these colours, with captions in Karpathy's JSON."""
    images = []
    for split, colours in splits.items():
        for colour in colours:
            make_photo(folder / f"{colour}.png", colour)
            images.append({"filename": f"{colour}.png", "split": split, "sentences": [{"raw": f"all {colour}"}]})
    file = folder / "dataset.json"
    file.write_text(json.dumps({"images": images}))
    return file


def test_val_is_measured_unless_another_split_is_named(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, train=COLOURS[:2], val=COLOURS[2:3], test=COLOURS[3:])

    of_val = run("evaluate", "--data", data)
    of_train = run("evaluate", "--data", data, "--split", "train")

    assert "pictures: 1, captions: 1" in of_val.stdout
    assert "pictures: 2, captions: 2" in of_train.stdout


def test_the_only_split_there_is_is_measured(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, test=COLOURS)

    assert "pictures: 4, captions: 4" in run("evaluate", "--data", data).stdout


@pytest.mark.parametrize("arguments", [["--split", "nothing"], []])
def test_a_split_without_pictures_is_a_wrong_question_and_the_splits_are_named(
    run: Run, tmp_path: Path, arguments: list[str]
) -> None:
    data = write(tmp_path, train=COLOURS[:2], test=COLOURS[2:])

    outcome = run("evaluate", "--data", data, *arguments)

    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    assert "no pictures in the split" in outcome.stderr
    assert "Available splits: train, test" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_pack_is_measured_as_the_pictures_in_it_are(run: Run, tmp_path: Path) -> None:
    read = read_captioned(write(tmp_path, train=COLOURS[:1], val=COLOURS[1:]))
    write_pack(read.pictures, tmp_path / "some.pack", 32, silent)
    (tmp_path / "green.png").unlink()

    outcome = run("evaluate", "--data", tmp_path / "some.pack", "--no-rerank", "--json")
    calibrated = run("calibrate", "--data", tmp_path / "some.pack", "--split", "nothing")

    first_stage = json.loads(outcome.stdout)["text_to_image"]["first_stage"]
    assert (first_stage["r@1"], first_stage["median_rank"]) == (100, 1)
    assert "Available splits: train, val" in calibrated.stderr


def test_a_damaged_pack_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    pack = tmp_path / "some.pack"
    write_pack(read_captioned(write(tmp_path, val=COLOURS)).pictures, pack, 32, silent)
    content = pack.read_bytes()
    pack.write_bytes(content.replace(content[40:60], bytes(20)))  # part of the first picture

    outcome = run("evaluate", "--data", pack, "--no-rerank")

    assert outcome.exit_code == 1
    assert "000000.jpg in the pack" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_the_table_has_a_row_for_each_stage_and_number_of_candidates(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, val=COLOURS)

    outcome = run("evaluate", "--data", data, "--candidates", "2", "--full")

    heading, *rows = outcome.stdout.splitlines()
    assert heading.split()[:5] == ["R@1", "R@5", "R@10", "median", "rank"]
    assert [row.split("  ")[-1].strip() for row in rows] == [
        f"{direction}, {stage}"
        for direction in ("text to image", "image to text")
        for stage in ("first stage", "re-ranked 2", "re-ranked 4")
    ]


def test_the_figures_are_those_worked_out_by_hand(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, val=COLOURS)

    outcome = run("evaluate", "--data", data, "--candidates", "2")

    # By similarity, every caption ranks its picture first, and vice versa. Pink is as red as red and brighter than
    # green, so the captions for red and green rank it first among two candidates. A picture in a pure colour matches
    # its caption as well as "all pink", which names no colour that the runtime knows and is read as white. Only the
    # pink picture ranks its caption first.
    assert [row.split()[:4] for row in outcome.stdout.splitlines()[1:]] == [
        ["100.0", "100.0", "100.0", "1"],
        ["50.0", "100.0", "100.0", "1.5"],
        ["100.0", "100.0", "100.0", "1"],
        ["25.0", "100.0", "100.0", "2"],
    ]


def test_json_is_the_agreed_object_in_one_line(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, val=COLOURS)

    outcome = run("evaluate", "--data", data, "--candidates", "2", "--candidates", "3", "--json")

    [line] = outcome.stdout.splitlines()
    figures = json.loads(line)
    assert figures.keys() == {"text_to_image", "image_to_text"}
    for direction in figures.values():
        assert direction.keys() == {"first_stage", "reranked"}
        assert direction["reranked"].keys() == {"2", "3"}
        for recall in (direction["first_stage"], *direction["reranked"].values()):
            assert recall.keys() == {"r@1", "r@5", "r@10", "median_rank", "milliseconds"}
            assert 0 <= recall["r@1"] <= recall["r@5"] <= recall["r@10"] <= 100


def test_eight_are_read_by_default_and_none_on_request(run: Run, tmp_path: Path, runtime: ColourRuntime) -> None:
    data = write(tmp_path, val=COLOURS)

    without = run("evaluate", "--data", data, "--no-rerank")
    assert "re-ranked" not in without.stdout
    assert runtime.pairs_matched == 0
    assert "re-ranked 8" in run("evaluate", "--data", data).stdout
    refused = run("evaluate", "--data", data, "--no-rerank", "--candidates", "5")
    assert refused.exit_code == 2
    assert "--candidates and --full do not apply to --no-rerank" in refused.stderr


def test_problems_of_the_data_are_named_up_to_a_limit(run: Run, tmp_path: Path, runtime: ColourRuntime) -> None:
    data = write(tmp_path, val=COLOURS)
    (tmp_path / "red.png").unlink()

    refused = run("evaluate", "--data", data, "--max-bad", "0")
    assert runtime.pictures_encoded == 0
    passed = run("evaluate", "--data", data, "--no-rerank")

    assert "pictures: 3, captions: 3" in passed.stdout
    assert "skipped:" in passed.stderr
    assert "red.png" in passed.stderr
    assert refused.exit_code == 1
    assert "more than the 0 allowed" in refused.stderr


def test_a_picture_that_cannot_be_decoded_is_a_problem_like_any_other(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, val=COLOURS)
    (tmp_path / "red.png").write_bytes(b"no picture")

    passed = run("evaluate", "--data", data, "--no-rerank")
    refused = run("evaluate", "--data", data, "--max-bad", "0")

    assert "pictures: 3, captions: 3" in passed.stdout
    assert "red.png: not a picture" in passed.stderr
    assert refused.exit_code == 1
    assert "more than the 0 allowed" in refused.stderr


@pytest.mark.slow
def test_a_checkpoint_is_measured_compiled(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixsearch.model.load_runtime.load_runtime", load_runtime)  # restores the real function
    model, data = make_tiny_checkpoint(tmp_path / "model"), write(tmp_path, val=COLOURS)

    outcome = run("evaluate", "--data", data, "--model", model, "--json")

    assert json.loads(outcome.stdout)["text_to_image"]["reranked"].keys() == {"8"}
