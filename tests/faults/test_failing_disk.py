"""The n-th write, sync or rename in the library's folder fails, for n = 1, 2, ... until none does. Also full disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Pixsearch, found
from tests.faults.test_killed import stored
from tests.photos import make_photo

PHOTOS = 24
SOURCE = Path(__file__).with_name("failing_io.c")


@pytest.fixture(scope="session")
def failing_io(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path_factory.mktemp("failing-io") / "failing_io.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", built, SOURCE, "-ldl"], check=True)
    return built


def half_indexed(pixsearch: Pixsearch, photos: Path) -> None:
    """A library with half of the photos, some renamed or deleted since, so that every kind of work remains."""
    for number in range(PHOTOS // 2):
        make_photo(photos / f"{number}.png", (number + 1, 1, 9))
    assert pixsearch("index", photos).returncode == 0
    for number in range(PHOTOS // 2, PHOTOS):
        make_photo(photos / f"{number}.png", (number + 1, 1, 9))
    (photos / "0.png").rename(photos / "renamed.png")
    (photos / "1.png").unlink()
    (photos / "bad.png").touch()


FAULTS = [
    pytest.param(call, for_ever, id=f"every {call} {'for ever' if for_ever else 'once'}")
    for call in ("write", "sync", "rename")
    for for_ever in (False, True)
]


@pytest.mark.slow
@pytest.mark.parametrize(("call", "for_ever"), FAULTS)
def test_whatever_call_fails_nothing_stored_is_lost_and_the_next_run_makes_it_good(
    call: str,
    for_ever: bool,
    tmp_path: Path,
    photos: Path,
    failing_io: Path,
    pixsearch: Pixsearch,
) -> None:
    half_indexed(pixsearch, photos)
    library, kept = tmp_path / "library", tmp_path / "kept"
    shutil.copytree(library, kept)
    before = stored(library)
    failed = 0
    for number in range(1, 10_000):
        shutil.rmtree(library)
        shutil.copytree(kept, library)
        report = tmp_path / "report"
        report.unlink(missing_ok=True)
        variables = {
            "LD_PRELOAD": str(failing_io),
            "FAIL_BELOW": str(library),
            "FAIL_CALL": call,
            "FAIL_AT": str(number),
            "FAIL_WITH": str(errno.ENOSPC if number % 2 else errno.EIO),
            "FAIL_REPORT": str(report),
        } | ({"FAIL_FOR_EVER": "1"} if for_ever else {})

        hindered = pixsearch("index", photos, **variables)

        assert hindered.returncode == 1  # bad.png is always listed
        assert "Traceback" not in hindered.stderr, hindered.stderr
        assert "unexpected" not in hindered.stderr, hindered.stderr
        there = {str(path) for path in photos.iterdir()}
        assert {path for path in before if path in there} <= stored(library).keys()
        assert found(library)
        if number == 1 or not report.exists():
            again = pixsearch("index", photos, "--json")
            assert json.loads(again.stdout)["failed"] == 1, again.stderr
            verified = pixsearch("verify", "--deep")
            assert verified.returncode == 0, verified.stdout
            assert len(stored(library)) == PHOTOS - 1
        if not report.exists():
            break
        failed += 1
    assert failed > 0
    print(f"{call}: {failed} points of failure")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 300 kB disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_on_a_full_disk_what_was_stored_stays_and_with_room_the_rest_comes(
    small_disk: Path, photos: Path, pixsearch: Pixsearch
) -> None:
    library = small_disk / "library"
    for number in range(900):
        make_photo(photos / f"{number}.png", (number % 255 + 1, number // 255 + 1, 9))

    full = pixsearch("index", photos, "--library", library)
    kept = stored(library)
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    roomy = pixsearch("index", photos, "--library", library)
    verified = pixsearch("verify", "--deep", "--library", library)

    assert full.returncode == 1
    assert "the disk is full" in full.stderr
    assert full.stderr.count("\n") == 1
    assert 0 < len(kept) < 900
    assert roomy.stdout == f"900 photos: {900 - len(kept):,} encoded, {len(kept):,} unchanged, 0 failed\n"
    assert verified.returncode == 0, verified.stdout


def test_a_query_goes_on_while_the_disk_is_full(small_disk: Path, photos: Path, pixsearch: Pixsearch) -> None:
    library = small_disk / "library"
    for number in range(50):
        make_photo(photos / f"{number}.png", (number + 1, 1, 9))
    assert pixsearch("index", photos, "--library", library).returncode == 0
    for file in library.glob("vectors-*"):
        file.unlink()
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize))

    answer = pixsearch("query", "red", "--json", "--top-k", "50", "--duplicates", "show", "--library", library)

    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 50
