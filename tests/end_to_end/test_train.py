"""From captioned pictures to search results with the installed command: pack, train, evaluate, index, query."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.end_to_end.conftest import COMMAND, Finished, Pixsearch
from tests.object_storage import Bucket, ObjectStorage

pytestmark = pytest.mark.slow
COLOURS = ("red", "green", "blue", "yellow", "white", "black")


@pytest.fixture(scope="module")
def pictures(home: Path) -> Path:
    """Five circles in each colour, named and captioned with it. The first in each colour is for val."""
    folder = home / "circles"
    folder.mkdir()
    images = []
    for colour in COLOURS:
        for number in range(5):
            picture = Image.new("RGB", (64, 64), "gray")
            ImageDraw.Draw(picture).ellipse((number, number, 63 - number, 63), fill=colour)
            picture.save(folder / f"{colour}{number}.png")
            described = {"split": "train" if number else "val", "sentences": [{"raw": f"a {colour} circle"}]}
            images.append({"filename": f"{colour}{number}.png", **described})
    (home / "dataset.json").write_text(json.dumps({"images": images}))
    return folder


@pytest.fixture(scope="module")
def training(pixsearch: Pixsearch, home: Path, pictures: Path, tiny_checkpoint: Path) -> list[str]:
    """A command line without --out that trains on a pack of the circles."""
    packed = pixsearch("train", "--data", "dataset.json", "--images", pictures, "--pack", "pack.zip")
    assert packed.returncode == 0, packed.stderr
    sizes = ("--set", "maps.epochs=150", "--set", "maps.batch=24", "--set", "maps.looks=15", "--set", "maps.kept=0")
    return ["train", "--data", "pack.zip", "--model", str(tiny_checkpoint), *sizes]


@pytest.fixture(scope="module")
def trained(pixsearch: Pixsearch, training: list[str]) -> Finished:
    return pixsearch(*training, "--out", "model")


def test_training_measures_val_and_leaves_the_checkpoint_that_it_likes_best(trained: Finished, home: Path) -> None:
    assert trained.returncode == 0, trained.stderr
    assert "24 pictures, 6 captions" in trained.stdout
    looks = json.loads((home / "model/figures.json").read_text())
    assert [look["step"] for look in looks] == list(range(0, 151, 10))
    assert f"val, maps, step 150: pictures 6, text to image {looks[-1]['text_to_image']['r@1']:g}" in trained.stderr
    assert not (home / "model/run").exists()


def test_a_training_that_is_killed_and_resumed_ends_as_if_it_had_not_been(
    pixsearch: Pixsearch, training: list[str], trained: Finished, home: Path
) -> None:
    command = subprocess.Popen([COMMAND, *training, "--out", "killed"], cwd=home, stderr=subprocess.PIPE, text=True)
    assert command.stderr is not None
    with command:
        for line in command.stderr:
            if "val, maps, step 20:" in line:  # the previous measurement's step has been saved
                command.send_signal(signal.SIGKILL)
    assert command.returncode == -signal.SIGKILL

    resumed = pixsearch("train", "--resume", "--out", "killed")

    assert resumed.returncode == 0, resumed.stderr
    assert "step 0:" not in resumed.stderr
    for file in ("model.safetensors", "config.json", "figures.json"):
        assert (home / "killed" / file).read_bytes() == (home / "model" / file).read_bytes(), file


def test_evaluate_prints_the_agreed_object(pixsearch: Pixsearch, trained: Finished, pictures: Path) -> None:
    measured = pixsearch(
        *("evaluate", "--data", "dataset.json", "--images", pictures, "--model", "model"),
        *("--candidates", "2", "--candidates", "4", "--json"),
    )

    assert measured.returncode == 0, measured.stderr
    figures = json.loads(measured.stdout)
    assert figures.keys() == {"text_to_image", "image_to_text"}
    for direction in figures.values():
        assert direction.keys() == {"first_stage", "reranked"}
        assert direction["reranked"].keys() == {"2", "4"}
        for recall in (direction["first_stage"], *direction["reranked"].values()):
            assert recall.keys() == {"r@1", "r@5", "r@10", "median_rank", "milliseconds"}


def test_what_was_trained_finds_photos_and_forgets_those_that_are_deleted(
    pixsearch: Pixsearch, trained: Finished, home: Path, pictures: Path
) -> None:
    library = ("--library", "circles-library")
    album = shutil.copytree(pictures, home / "album")  # a copy, because a photo will be deleted
    indexed = pixsearch("index", album, "--model", "model", *library)
    assert indexed.returncode == 0, indexed.stderr
    assert "30 encoded" in indexed.stdout

    def found() -> list[Path]:
        # No model is named, because the library knows its own.
        answer = pixsearch("query", "a red circle", "--no-rerank", "-k", "5", "--json", *library)
        assert answer.returncode == 0, answer.stderr
        return [Path(json.loads(line)["path"]) for line in answer.stdout.splitlines()]

    first = found()
    assert sum(path.stem.startswith("red") for path in first) >= 3
    first[0].unlink()
    assert "1 forgotten" in pixsearch("index", *library).stdout
    assert first[0] not in found()


def test_bare_train_learns_from_the_texts_beside_the_photos(
    pixsearch: Pixsearch, home: Path, tiny_checkpoint: Path
) -> None:
    photos, start = home / "photos", ("--library", "my-library", "--model", tiny_checkpoint)
    photos.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (64, 64), colour).save(photos / f"{colour}.png")
        (photos / f"{colour}.txt").write_text(f"all {colour}\n")
    pixsearch("index", photos, *start)

    finished = pixsearch("train", *start, "--set", "maps.epochs=2")

    assert finished.returncode == 0, finished.stderr
    assert "my-photos: 6 pictures, 6 captions" in finished.stdout


def test_two_processes_read_each_picture_of_a_bucket_once(
    home: Path, pictures: Path, tiny_checkpoint: Path, s3: ObjectStorage, bucket: Bucket
) -> None:
    for file in pictures.iterdir():
        bucket.put(f"circles/{file.name}", file.read_bytes())
    data = bucket.put("dataset.json", (home / "dataset.json").read_bytes())
    before = len(s3.requests())
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = f"{COMMAND} train --data {data} --images {bucket.url}/circles --out from-bucket --model {tiny_checkpoint}"
    sizes = "--recipe shipped --stage cnn --set cnn.batch=4 --set cnn.epochs=2 --workers 0 --precision no"

    finished = subprocess.run(
        [*torchrun, *train.split(), *sizes.split()],
        env=os.environ | {"HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("24 pictures, 6 captions") == 1
    read = [request for request in s3.requests()[before:] if request.method == "GET" and request.path.endswith(".png")]
    names = [f"/{bucket.url.removeprefix('s3://')}/circles/{file.name}" for file in pictures.iterdir()]
    assert Counter(request.path for request in read) == Counter(names)
