"""Encoding with actors on a Ray cluster, compared with the pipeline in one process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pixsearch import Library
from pixsearch.errors import PixsearchError
from pixsearch.storage import to_path
from pixsearch_indexer import IndexReport, index_folders
from pixsearch_indexer.on_ray import LoadOnRay
from pixsearch_indexer.verify import verify
from tests.colour_runtime import ColourRuntime
from tests.database import SQLITE_ONLY, sql
from tests.object_storage import Bucket, ObjectStorage
from tests.photos import make_photo

pytestmark = pytest.mark.slow

TIMES = 20


class SlowColours(ColourRuntime):
    """An encoder that is slow and records the process it runs in."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], list[bytes]]:
        with self._log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.05 * len(pixels))
        return super().encode_pixels(pixels)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LoadOnRay]:
    """A local cluster with two actors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(str(Path(__file__).parents[2] / name) for name in (".", "indexer", "cli", "trainer")))  # fmt: skip # noqa: E501
        started = LoadOnRay(workers=2)
        yield started
        started.close()


def rows(library: Library) -> list[tuple[object, ...]]:
    """Return everything stored for each photo except its id."""
    return sql(
        library,
        "SELECT path, digest, format, width, height, embedding, grid FROM photos"
        " JOIN contents ON contents.id = content_id"
        " JOIN features USING (content_id) JOIN grids USING (content_id) ORDER BY path",
    )


@SQLITE_ONLY
def test_it_brings_in_what_one_process_brings_in(
    library: Library, tmp_path: Path, photos: Path, cluster: LoadOnRay
) -> None:
    for number in range(70):
        make_photo(photos / f"{number}.png", (number + 1, 100, 9))
    (photos / "a copy.png").write_bytes((photos / "3.png").read_bytes())
    (photos / "broken.jpg").write_bytes(b"no picture")
    make_photo(photos / "black.png", "black")  # it cannot have an embedding

    with Library.create(tmp_path / "here") as here:
        with pytest.warns(RuntimeWarning):
            expected_report = index_folders(here, ColourRuntime(), [photos])
        expected = rows(here)
        failures = [(failure.path, failure.reason) for failure in here.failures()]
    report = index_folders(library, ColourRuntime(), [photos], load_files=cluster)

    assert report == expected_report == IndexReport(found=73, encoded=70, reused=1, failed=2)
    assert rows(library) == expected
    assert [(failure.path, failure.reason) for failure in library.failures()] == failures


@SQLITE_ONLY
def test_small_thumbnails_come_back_to_the_machine_that_indexes(
    library: Library, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: LoadOnRay
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(40):
        make_photo(photos / f"{number}.png", (number + 1, 100, 9))

    index_folders(library, ColourRuntime(), [photos], load_files=cluster)

    assert len(list((tmp_path / "cache" / "pixsearch" / "thumbnails").iterdir())) == 40


@SQLITE_ONLY
def test_workers_read_object_storage_themselves(
    library: Library, photos: Path, bucket: Bucket, s3: ObjectStorage, cluster: LoadOnRay
) -> None:
    for number in range(40):
        make_photo(photos / f"{number}.png", (number + 1, 100, 9))
    bucket.put_folder(photos)
    bucket.put("broken.jpg", b"no picture")

    before = len(s3.requests())

    report = index_folders(library, ColourRuntime(), [to_path(bucket.url)], load_files=cluster)

    assert report == IndexReport(found=41, encoded=40, failed=1)
    read = [request for request in s3.requests()[before:] if request.path.endswith((".png", ".jpg"))]
    assert [request.method for request in read] == ["GET"] * 41


@SQLITE_ONLY
def test_what_is_in_the_library_is_not_sent_out_again(
    library: Library, tmp_path: Path, photos: Path, cluster: LoadOnRay
) -> None:
    log = tmp_path / "log"
    for number in range(5):
        make_photo(photos / f"{number}.png", (number + 1, 100, 9))
    index_folders(library, SlowColours(log), [photos], load_files=cluster)
    log.unlink()
    (photos / "0.png").rename(photos / "renamed.png")

    report = index_folders(library, SlowColours(log), [photos], load_files=cluster)

    assert report == IndexReport(found=5, unchanged=4, reused=1, forgotten=1)
    assert not log.exists()


@SQLITE_ONLY
def test_workers_that_are_killed_cost_nothing_but_time(
    library: Library, tmp_path: Path, photos: Path, cluster: LoadOnRay
) -> None:
    log = tmp_path / "log"
    for number in range(TIMES * 32):
        make_photo(photos / f"{number}.png", (number % 250 + 1, number // 250 + 1, 9))
    killed: list[int] = []
    done = threading.Event()

    def kill() -> None:
        while len(killed) < TIMES and not done.wait(0.4):
            pids = set(map(int, log.read_text().split())) - set(killed) if log.exists() else set()
            for pid in sorted(pids)[-1:]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    report = index_folders(library, SlowColours(log), [photos], load_files=cluster)
    done.set()
    killer.join()

    print(f"{len(killed)} workers were killed")
    assert killed != []
    assert (report.encoded, report.failed) == (TIMES * 32, 0)
    assert verify(library).problems == []


def test_a_cluster_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(PixsearchError, match=r"no Ray cluster at 127\.0\.0\.1:9"):
        LoadOnRay("127.0.0.1:9")
