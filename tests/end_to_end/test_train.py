"""From captioned pictures to answers, by the installed command: train, evaluate, index, query, delete, query again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from pixsearch.model.checkpoints import load_checkpoint
from tests.end_to_end.conftest import COMMAND, Finished, Pixsearch
from tests.object_storage import Bucket, ObjectStorage

pytestmark = pytest.mark.slow
COLOURS = ("red", "green", "blue", "yellow", "white", "black")
PICTURES_A_COLOUR = 5


@pytest.fixture(scope="module")
def pictures(home: Path) -> Path:
    """Circles in one colour, named and captioned by it."""
    folder = home / "circles"
    folder.mkdir()
    for colour in COLOURS:
        for number in range(PICTURES_A_COLOUR):
            picture = Image.new("RGB", (64, 64), "gray")
            ImageDraw.Draw(picture).ellipse((number, number, 63 - number, 63), fill=colour)
            picture.save(folder / f"{colour}{number}.png")
    return folder


@pytest.fixture(scope="module")
def dataset(home: Path, pictures: Path) -> Path:
    images = [
        {
            "filename": file.name,
            "split": "val" if file.stem.endswith("0") else "train",
            "sentences": [{"raw": f"a {file.stem[:-1]} circle"}],
        }
        for file in sorted(pictures.iterdir())
    ]
    file = home / "dataset.json"
    file.write_text(json.dumps({"images": images}))
    return file


@pytest.fixture(scope="module")
def trained(pixsearch: Pixsearch, home: Path, pictures: Path, dataset: Path, tiny_checkpoint: Path) -> Finished:
    sizes = ("--epochs", "150", "--batch", "24", "--pixel-steps", "5", "--rerank-steps", "10", "--block", "4")
    return pixsearch(
        *("train", "--data", dataset, "--images", pictures, "--out", "model", "--model", tiny_checkpoint, *sizes)
    )


def test_training_measures_val_and_leaves_a_checkpoint_that_loads(trained: Finished, home: Path) -> None:
    assert trained.returncode == 0, trained.stderr
    assert "24 pictures, 6 captions" in trained.stdout
    assert "val, end: text to image R@1" in trained.stderr
    figures = json.loads((home / "model" / "figures.json").read_text())
    assert [figure["moment"] for figure in figures] == ["first stage", "end"]
    model, _ = load_checkpoint(home / "model")
    assert model.similarity_weight.item() != 20.0


def test_evaluate_prints_the_agreed_object(
    pixsearch: Pixsearch, trained: Finished, pictures: Path, dataset: Path
) -> None:
    measured = pixsearch(
        *("evaluate", "--data", dataset, "--images", pictures, "--model", "model"),
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
    album = shutil.copytree(pictures, home / "album")  # of its own: a photo will be deleted
    indexed = pixsearch("index", album, "--model", "model", *library)
    assert indexed.returncode == 0, indexed.stderr
    assert "30 encoded" in indexed.stdout

    def found() -> list[Path]:
        # The library knows its model, so none is named.
        answer = pixsearch("query", "a red circle", "--no-rerank", "-k", "5", "--json", *library)
        assert answer.returncode == 0, answer.stderr
        return [Path(json.loads(line)["path"]) for line in answer.stdout.splitlines()]

    first = found()
    assert sum(path.stem.startswith("red") for path in first) >= 3
    first[0].unlink()
    assert "1 forgotten" in pixsearch("index", *library).stdout
    assert first[0] not in found()


def test_bare_train_without_captions_names_the_ways_to_give_pairs(
    pixsearch: Pixsearch, home: Path, tiny_checkpoint: Path
) -> None:
    photos = home / "plain"
    photos.mkdir()
    Image.new("RGB", (64, 64), "red").save(photos / "a.png")
    pixsearch("index", photos, "--model", tiny_checkpoint, "--library", "plain-library")

    refused = pixsearch("train", "--library", "plain-library", "--model", tiny_checkpoint)

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    for way in ("photo.txt", "metadata", "--data"):
        assert way in refused.stderr


def test_bare_train_learns_from_the_texts_beside_the_photos(
    pixsearch: Pixsearch, home: Path, tiny_checkpoint: Path
) -> None:
    photos = home / "captioned"
    photos.mkdir()
    for colour in COLOURS:
        Image.new("RGB", (64, 64), colour).save(photos / f"{colour}.png")
        (photos / f"{colour}.txt").write_text(f"all {colour}\n")
    pixsearch("index", photos, "--model", tiny_checkpoint, "--library", "captioned-library")

    finished = pixsearch(
        *("train", "--library", "captioned-library", "--model", tiny_checkpoint),
        *("--epochs", "2", "--pixel-steps", "1", "--rerank-steps", "1"),
    )

    assert finished.returncode == 0, finished.stderr
    assert "6 pictures, 6 captions" in finished.stdout
    named = pixsearch("index", photos, "--model", "my-photos", "--library", "new-library")
    assert named.returncode == 0, named.stderr


def test_processes_that_train_from_a_bucket_share_the_reading(
    home: Path, pictures: Path, tiny_checkpoint: Path, s3: ObjectStorage, bucket: Bucket
) -> None:
    for file in pictures.iterdir():
        bucket.put(f"circles/{file.name}", file.read_bytes())
    images = [{"filename": file.name, "sentences": [{"raw": file.stem}]} for file in sorted(pictures.iterdir())[:24]]
    data = bucket.put("dataset.json", json.dumps({"images": images}).encode())
    before = len(s3.requests())
    train = f"pixsearch train --data {data} --images {bucket.url}/circles --out from-bucket --model {tiny_checkpoint}"
    sizes = "--train-cnn --batch 4 --epochs 1 --workers 0 --precision no"

    # Three steps of eight pictures, and each process calls itself by its rank.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    finished = subprocess.run(
        [*torchrun, "bash", "-c", f"AWS_SDK_UA_APP_ID=rank$RANK exec {COMMAND.parent}/{train} {sizes}"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert (home / "from-bucket" / "model.safetensors").exists()
    read = [request for request in s3.requests()[before:] if request.method == "GET" and request.path.endswith(".png")]
    by_rank = {rank: Counter(request.path for request in read if request.by == rank) for rank in ("rank0", "rank1")}
    named = [f"/{bucket.url.removeprefix('s3://')}/circles/{image['filename']}" for image in images]
    for place, rank in enumerate(by_rank):
        assert by_rank[rank].total() == 12 + 12  # of 24 pictures half are looked at, and half are trained on
        assert by_rank[rank].keys() >= set(named[place::2])
    assert by_rank["rank0"] + by_rank["rank1"] == Counter(named * 2)
