"""Pictures that cannot be decoded are found before training starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixsearch.errors import DatasetError, PixsearchError
from pixsearch.progress import Progress, silent
from pixsearch_trainer.data.checking import check_pictures, enforce_limit
from pixsearch_trainer.data.pairs import CaptionedPicture
from pixsearch_trainer.data.problems import Problem
from tests.photos import make_photo, noise_bytes

DIES_AT_A_MARK = """
import os, signal
import PIL.Image
real = PIL.Image.open
def dying(file, *args, **options):
    if b"the end of a decoder" in file.getvalue():
        os.kill(os.getpid(), signal.SIGKILL)
    return real(file, *args, **options)
PIL.Image.open = dying
"""
NEVER_STARTS = """
import os, sys
if any("spawn_main" in word for word in sys.orig_argv):
    os._exit(3)
"""


def captioned(*files: Path) -> list[CaptionedPicture]:
    return [CaptionedPicture(file, ("a dog",)) for file in files]


def in_every_worker(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs sitecustomize.py as it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_pictures_are_named_and_the_others_kept_in_their_order(tmp_path: Path, workers: int) -> None:
    sound = [make_photo(tmp_path / f"{number}.png") for number in range(70)]
    (tmp_path / "cut.jpg").write_bytes(noise_bytes("JPEG", (640, 480))[:-2000])
    (tmp_path / "words.jpg").write_text("a dog")
    pictures = captioned(*sound[:40], tmp_path / "cut.jpg", *sound[40:], tmp_path / "words.jpg", tmp_path / "gone.jpg")
    told: list[Progress] = []

    reading = check_pictures(pictures, workers, told.append)

    assert reading.pictures == captioned(*sound)
    assert [(problem.file.name, problem.what.split(":")[0]) for problem in reading.problems] == [
        ("cut.jpg", "cannot be decoded"),
        ("words.jpg", "not a picture in a format that pixsearch reads"),
        ("gone.jpg", "cannot be read"),
    ]
    assert [progress.done for progress in told] == [32, 64, 73]
    assert {progress.total for progress in told} == {73}


@pytest.mark.slow
def test_a_decoder_that_crashes_its_process_costs_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [make_photo(tmp_path / f"{number}.png") for number in range(40)]
    for deadly in (files[3], files[35]):
        deadly.write_bytes(deadly.read_bytes() + b"the end of a decoder")
    in_every_worker(DIES_AT_A_MARK, tmp_path / "site", monkeypatch)

    reading = check_pictures(captioned(*files), 1, silent)

    assert reading.pictures == captioned(*files[:3], *files[4:35], *files[36:])
    assert [str(problem) for problem in reading.problems] == [
        f"{files[3]}: crashes its decoder, or takes too much memory",
        f"{files[35]}: crashes its decoder, or takes too much memory",
    ]


def test_workers_that_never_start_are_not_blamed_on_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_every_worker(NEVER_STARTS, tmp_path / "site", monkeypatch)

    with pytest.raises(PixsearchError, match="cannot be started here"):
        check_pictures(captioned(make_photo(tmp_path / "a.png")), 1, silent)


def test_as_many_problems_as_allowed_pass_and_one_more_does_not() -> None:
    problems = [Problem(Path("a.tsv"), line, "is no JSON") for line in range(1, 6)]

    enforce_limit(problems, 5, 0)
    enforce_limit([], 0, 0)
    with pytest.raises(DatasetError) as refusal:
        enforce_limit(problems, 4, 0)

    assert str(refusal.value) == (
        "5 problems in the data, more than the 4 allowed: a.tsv:1: is no JSON, a.tsv:2: is no JSON, "
        "a.tsv:3: is no JSON, ... Mend them or allow more with --max-bad"
    )


def test_where_no_limit_is_given_one_problem_in_a_hundred_pictures_is_passed_over_and_always_ten() -> None:
    problems = [Problem(Path("captions.tsv"), line, "is broken") for line in range(21)]

    enforce_limit(problems[:10], None, 3)
    enforce_limit(problems[:20], None, 2000)
    for too_many, pictures in ((problems[:11], 3), (problems, 2000)):
        with pytest.raises(DatasetError, match=f"{len(too_many)} problems in the data"):
            enforce_limit(too_many, None, pictures)
