"""The README's promises, tested with the installed command and a checkpoint with random weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.conftest import COMMAND, Finished, Pixsearch

GOOD_NAMES = [
    "plain.jpg",
    "UPPER.JPG",
    "png named.jpg",
    "no suffix",
    'it\'s "quoted", 100% [sure].png',
    "-leading-dash.png",
    "ひまわり 🌻.webp",
    "line\nbreak.png",
    "sub folder/deeper/grey.png",
    os.fsdecode(b"latin-1 caf\xe9.png"),
]


PROGRESS = re.compile(r"pixsearch: \d+ min: ")


@dataclass(frozen=True)
class Odd:
    """A folder of photos with odd names, and of files that are not photos."""

    folder: Path
    photos: list[Path]
    bad: list[Path]


@pytest.fixture(scope="module")
def odd(home: Path) -> Odd:
    folder = home / "odd photos"
    photos = [folder / name for name in GOOD_NAMES]
    random = np.random.default_rng(0)
    for path in photos:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, size=(48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="JPEG" if path.suffix.lower() == ".jpg" else "PNG")
    Image.new("L", (64, 48), 99).save(folder / "png named.jpg", format="PNG")

    bad = [folder / name for name in ("cut.jpg", "empty.png", "text.jpg")]
    whole = (folder / "plain.jpg").read_bytes()
    bad[0].write_bytes(whole[: len(whole) // 2])
    bad[1].touch()
    bad[2].write_text("Dear diary")
    (folder / "a folder.jpg").mkdir()
    (folder / "notes.txt").write_text("not meant for us")
    return Odd(folder, photos, bad)


@pytest.fixture(scope="module")
def first_run(pixsearch: Pixsearch, odd: Odd, tiny_checkpoint: Path) -> Finished:
    return pixsearch("index", odd.folder, "--model", tiny_checkpoint)


def paths_in(lines: str) -> list[Path]:
    return [Path(json.loads(line)["path"]) for line in lines.splitlines()]


def as_set(paths: Iterable[Path]) -> set[bytes]:
    return {os.fsencode(path) for path in paths}


def test_the_first_run_takes_every_photo_and_names_every_file_that_is_none(first_run: Finished, odd: Odd) -> None:
    assert first_run.stdout == "13 photos: 10 encoded, 0 unchanged, 3 failed\nnot read: 1 .txt\n"
    assert first_run.returncode == 1
    # A slow machine prints its progress every minute.
    lines = [line for line in first_run.stderr.splitlines() if not PROGRESS.match(line)]
    assert [line.split(": ")[1] for line in lines] == [str(path) for path in odd.bad]
    assert "Traceback" not in first_run.stderr


def test_a_second_run_encodes_nothing_and_says_so(
    pixsearch: Pixsearch, first_run: Finished, odd: Odd, tiny_checkpoint: Path
) -> None:
    assert pixsearch("index", odd.folder, "--model", tiny_checkpoint).stdout == (
        "13 photos: nothing encoded, 10 unchanged, 3 failed\nnot read: 1 .txt\n"
    )


@pytest.fixture(scope="module")
def answer(pixsearch: Pixsearch, first_run: Finished, tiny_checkpoint: Path) -> Finished:
    return pixsearch("query", "a bunch of flowers", "--json", "--model", tiny_checkpoint)


def test_a_query_answers_with_the_photos_by_their_true_names(answer: Finished, odd: Odd) -> None:
    assert (answer.returncode, answer.stderr) == (0, "")
    assert as_set(paths_in(answer.stdout)) == as_set(odd.photos)
    hits = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [hit["rank"] for hit in hits] == list(range(1, 11))
    assert sorted(hit["similarity_rank"] for hit in hits) == list(range(1, 11))
    assert sum(isinstance(hit["match"], float) for hit in hits) == 8  # those the joint stream read


@pytest.mark.slow
def test_the_answer_is_the_same_on_every_run(pixsearch: Pixsearch, answer: Finished, tiny_checkpoint: Path) -> None:
    again = pixsearch("query", "a bunch of flowers", "--json", "--model", tiny_checkpoint)

    assert again.stdout == answer.stdout


@pytest.mark.slow
def test_a_photo_finds_itself(pixsearch: Pixsearch, first_run: Finished, odd: Odd, tiny_checkpoint: Path) -> None:
    asked = odd.photos[6]

    finished = pixsearch("query", "--image", asked, "--json", "--top-k", "1", "--model", tiny_checkpoint)

    (hit,) = [json.loads(line) for line in finished.stdout.splitlines()]
    assert hit["path"] == str(asked)
    assert hit["similarity"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_a_name_that_is_no_text_does_not_break_the_table(
    pixsearch: Pixsearch, first_run: Finished, tiny_checkpoint: Path
) -> None:
    finished = pixsearch("query", "a bunch of flowers", "--model", tiny_checkpoint)

    assert finished.returncode == 0
    assert len(finished.stdout.splitlines()) == 11
    assert "latin-1 caf\\udce9.png" in finished.stdout
    assert "line\\nbreak.png" in finished.stdout


@pytest.mark.slow
def test_a_deleted_photo_is_gone_from_the_answers(
    pixsearch: Pixsearch, odd: Odd, home: Path, tiny_checkpoint: Path
) -> None:
    options = ("--library", home / "other library", "--model", tiny_checkpoint)
    folder = home / "three photos"
    folder.mkdir()
    for path in odd.photos[:3]:
        shutil.copy(path, folder)
    assert pixsearch("index", folder, *options).stdout == "3 photos: 3 encoded, 0 unchanged, 0 failed\n"
    (folder / "plain.jpg").unlink()

    again = pixsearch("index", folder, *options)

    assert again.stdout == "2 photos: nothing encoded, 2 unchanged, 1 forgotten, 0 failed\n"
    assert as_set(paths_in(pixsearch("query", "flowers", "--json", *options).stdout)) == as_set(
        [folder / "UPPER.JPG", folder / "png named.jpg"]
    )


def test_status_counts_what_is_there(pixsearch: Pixsearch, first_run: Finished, odd: Odd) -> None:
    found = json.loads(pixsearch("status", "--json").stdout)

    assert (found["photos"], found["contents"], found["failures"]) == (10, 10, 3)
    [root] = found["roots"]
    assert (root["path"], root["online"], root["photos"]) == (str(odd.folder), True, 10)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["query", ""], 2, "the query is empty"),
        (["query"], 2, "the query is empty"),
        (["query", "a cat", "--library", "nowhere"], 1, "no library in"),
        (["status", "--library", "nowhere"], 1, "no library in"),
        (["query", "a cat", "--model", "nobody-s-model"], 1, "nobody-s-model"),
        (["index", ".", "--model", "nobody-s-model"], 1, "nobody-s-model"),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(
    pixsearch: Pixsearch, first_run: Finished, arguments: list[str], exit_code: int, says: str
) -> None:
    finished = pixsearch(*arguments)

    assert finished.returncode == exit_code
    assert finished.stdout == ""
    assert says in finished.stderr
    assert finished.stderr.startswith("pixsearch: ")
    assert finished.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(pixsearch: Pixsearch, first_run: Finished) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        finished = pixsearch("status", stdout=writing)
    finally:
        os.close(writing)

    assert finished.stderr == ""


@pytest.mark.slow
def test_a_command_without_a_stderr_works_and_keeps_its_messages_out_of_the_results(
    home: Path, odd: Odd, first_run: Finished, tiny_checkpoint: Path, pixsearch: Pixsearch
) -> None:
    command = f'exec "{COMMAND}" index "{odd.folder}" --model "{tiny_checkpoint}" 2>&-'

    finished = subprocess.run(
        ["sh", "-c", command], env={"HOME": str(home)}, stdout=subprocess.PIPE, text=True, check=False
    )

    assert finished.stdout == "13 photos: nothing encoded, 10 unchanged, 3 failed\nnot read: 1 .txt\n"
    assert finished.returncode == 1
