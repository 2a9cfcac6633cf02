"""The same commands on a library in PostgreSQL, with vectors in a file or in Milvus, and on one in a folder.

They also run on photos in object storage and in a folder.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.conftest import Finished, Pixsearch
from tests.object_storage import Bucket
from tests.postgres import PostgresServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(home: Path) -> Path:
    """Twelve photos, a copy of one of them, and a file that is not a photo."""
    folder = home / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    (folder / "copy of 00.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module", params=["postgresql", "postgresql+milvus"])
def location(request: pytest.FixtureRequest, postgres: PostgresServer) -> list[str]:
    """The options for a first run."""
    options = ["--library", postgres.new_database()]
    if "milvus" in request.param:
        options += ["--vectors", f"{request.getfixturevalue('milvus_of_commands')}photos_{uuid.uuid4().hex}"]
    return options


@pytest.fixture(scope="module")
def first_run(pixsearch: Pixsearch, location: list[str], photos: Path, tiny_checkpoint: Path) -> Finished:
    return pixsearch("index", photos, "--model", tiny_checkpoint, *location)


def test_all_photos_are_brought_in_and_a_second_run_encodes_nothing(
    pixsearch: Pixsearch, first_run: Finished, location: list[str], photos: Path, tiny_checkpoint: Path
) -> None:
    assert first_run.stdout == "14 photos: 12 encoded, 0 unchanged, 1 moved or copied, 1 failed\n"
    again = pixsearch("index", "--model", tiny_checkpoint, *location[:2])

    assert again.stdout == "14 photos: nothing encoded, 13 unchanged, 1 failed\n"


def test_answers_are_those_of_a_library_in_a_folder(
    pixsearch: Pixsearch, first_run: Finished, location: list[str], photos: Path, home: Path, tiny_checkpoint: Path
) -> None:
    here = ["--library", str(home / "library")]
    pixsearch("index", photos, "--model", tiny_checkpoint, *here)

    for asked in (["a bunch of flowers"], ["--image", photos / "03.png"], ["flowers", "--name", "0*", "-k", "3"]):
        expected = pixsearch("query", *asked, "--json", "--model", tiny_checkpoint, *here).stdout.splitlines()
        found = pixsearch("query", *asked, "--json", "--model", tiny_checkpoint, *location[:2]).stdout.splitlines()
        assert found == expected
        assert len(found) >= 3


def test_status_tells_where_it_is_and_verify_finds_nothing(
    pixsearch: Pixsearch, first_run: Finished, location: list[str]
) -> None:
    status = json.loads(pixsearch("status", "--json", *location[:2]).stdout)
    verified = pixsearch("verify", "--deep", *location[:2])

    assert status["library"].startswith("postgresql+psycopg://pixsearch@/")
    assert status["vectors"] == (location[3] if len(location) > 2 else "file")
    assert (status["photos"], status["contents"], status["failures"]) == (13, 12, 1)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_a_photo_that_is_gone_is_gone_from_the_answers(
    pixsearch: Pixsearch, first_run: Finished, location: list[str], photos: Path, tiny_checkpoint: Path
) -> None:
    moved = (photos / "11.png").rename(photos.parent / "11.png")
    try:
        pixsearch("index", "--model", tiny_checkpoint, *location[:2])
        found = pixsearch("query", "flowers", "--paths", "-k", "20", "--model", tiny_checkpoint, *location[:2])
    finally:
        moved.rename(photos / "11.png")

    assert len(found.stdout.splitlines()) == 11
    assert "11.png" not in found.stdout


def test_photos_of_a_bucket_are_brought_in_found_copied_and_forgotten(
    pixsearch: Pixsearch, photos: Path, bucket: Bucket, home: Path, tiny_checkpoint: Path
) -> None:
    bucket.put_folder(photos)
    model = ["--model", str(tiny_checkpoint)]
    here, there = ["--library", str(home / "of-folder"), *model], ["--library", str(home / "of-bucket"), *model]
    pixsearch("index", photos, *here)
    first = pixsearch("index", bucket.url, *there)
    again = pixsearch("index", *there)

    assert first.stdout == "14 photos: 12 encoded, 0 unchanged, 1 moved or copied, 1 failed\n"
    assert first.stderr.splitlines()[-1] == (
        f"pixsearch: {bucket.url}/broken.jpg: not a picture in a format that pixsearch reads"
    )
    assert again.stdout == "14 photos: nothing encoded, 13 unchanged, 1 failed\n"
    for asked in (["a bunch of flowers"], ["flowers", "--name", "0*", "-k", "3"], ["--image", f"{bucket.url}/03.png"]):
        expected = pixsearch("query", *(part.replace(bucket.url, str(photos)) for part in asked), "--paths", *here)
        found = pixsearch("query", *asked, "--paths", *there)
        assert found.stdout == expected.stdout.replace(str(photos), bucket.url)
        assert len(found.stdout.splitlines()) >= 3
    pixsearch("query", "flowers", "-k", "1", "--copy-to", "copies", "--html", "page.html", *there)
    [copy] = (home / "copies").iterdir()
    assert copy.read_bytes() == (photos / copy.name.removeprefix("001-")).read_bytes()
    assert f'href="{bucket.url}/' in (home / "page.html").read_text()
    assert pixsearch("verify", "--deep", *there[:2]).returncode == 0
    assert pixsearch("forget", f"{bucket.url}/", *there[:2]).stdout == "13 photos forgotten\n"
