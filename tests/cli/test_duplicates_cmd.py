"""`pixsearch duplicates`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo


@pytest.fixture
def twice(run: Run, model: ColourRuntime, library: Path, tmp_path: Path) -> Path:
    """Index a folder with a photo, its copy, and a smaller version of the photo."""
    folder = tmp_path / "twice"
    for name in ("sea.png", "copy of sea.png"):
        make_photo(folder / name, (0, 0, 200), size=(40, 30))
    make_photo(folder / "sea small.png", (0, 0, 200), size=(20, 15))
    assert run("index", folder).exit_code == 0
    return folder


def test_copies_are_a_table_with_the_best_first(run: Run, twice: Path) -> None:
    outcome = run("duplicates", "--no-pictures")

    heading, *rows = outcome.stdout.splitlines()
    assert heading.split() == ["group", "size", "pixels", "taken", "photo"]
    assert [row.split()[:2] for row in rows] == [["1", "best"], ["1", "0"]]
    assert [row.endswith(str(twice / name)) for row, name in zip(rows, ("sea.png", "copy of sea.png"), strict=True)]
    assert outcome.stderr == "pixsearch: 1 group with 2 photos in total; all but the best take up 0 kB\n"


def test_what_looks_the_same_is_shown_where_it_is_asked_for(run: Run, twice: Path) -> None:
    [group] = [json.loads(line) for line in run("duplicates", "--alike", "--json").stdout.splitlines()]

    shown = [(photo["path"], photo["width"], photo["height"]) for photo in group["photos"]]
    assert shown == [
        (str(twice / "sea.png"), 40, 30),
        (str(twice / "copy of sea.png"), 40, 30),
        (str(twice / "sea small.png"), 20, 15),
    ]
    sizes = [Path(path).stat().st_size for path, *_ in shown]
    assert [photo["size_bytes"] for photo in group["photos"]] == sizes
    assert group["spare_bytes"] == sum(sizes[1:])


def test_small_pictures_stand_before_the_groups(run: Run, twice: Path) -> None:
    shown = run("duplicates", "--alike", "--pictures").stdout

    assert "sea small.png" in "".join(shown.split("\n")).replace("  ", "")


def test_paths_are_what_can_be_deleted_without_a_loss(run: Run, twice: Path) -> None:
    assert run("duplicates", "--paths").stdout == f"{twice / 'copy of sea.png'}\n"
    assert run("duplicates", "-0").stdout == f"{twice / 'copy of sea.png'}\0"
    (twice / "sea.png").unlink()

    outcome = run("duplicates", "--paths")

    assert outcome.stdout == ""
    assert "1 copy left out: deleted, changed" in outcome.stderr


def test_nothing_is_deleted_and_nothing_twice_is_no_error(
    run: Run, model: ColourRuntime, library: Path, photos: Path
) -> None:
    before = sorted(photos.rglob("*"))
    (photos / "blue again.png").unlink()
    run("index", photos)

    outcome = run("duplicates")

    assert (outcome.exit_code, outcome.stdout, outcome.stderr) == (0, "", "pixsearch: no duplicates\n")
    assert sorted(photos.rglob("*")) == [path for path in before if path.name != "blue again.png"]


def test_a_name_with_a_line_break_is_left_out_of_lines(run: Run, twice: Path) -> None:
    (twice / "copy\n").mkdir()
    (twice / "copy of sea.png").rename(twice / "copy\n" / "of sea.png")
    run("index", twice)

    assert run("duplicates", "--paths").stdout == ""
    assert run("duplicates", "-0").stdout == f"{twice}/copy\n/of sea.png\0"


def test_names_do_not_speak_to_the_terminal(run: Run, twice: Path) -> None:
    (twice / "copy of sea.png").rename(twice / "\x1b]0;owned\x07.png")
    run("index", twice)

    for options in ([], ["--pictures"]):
        assert "\x1b]0;" not in run("duplicates", *options).stdout


@pytest.mark.parametrize("options", [["--alike", "--paths"], ["--alike", "-0"], ["--json", "--paths"]], ids=" ".join)
def test_what_contradicts_itself_is_refused(run: Run, twice: Path, options: list[str]) -> None:
    outcome = run("duplicates", *options)

    assert outcome.exit_code == 2
    assert "cannot be used together" in outcome.stderr
