from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixsearch.disk_cache import DiskCache
from tests.conftest import without_privileges

SEAL = 32


def test_what_is_put_in_comes_out(tmp_path: Path) -> None:
    DiskCache(tmp_path / "cache", lambda: 1000).put("a", b"data")

    assert DiskCache(tmp_path / "cache", lambda: 1000).get("a") == b"data"
    assert DiskCache(tmp_path / "cache", lambda: 1000).get("b") is None


def test_it_is_its_owner_s_alone(tmp_path: Path) -> None:
    DiskCache(tmp_path / "cache", lambda: 1000).put("a", b"data")

    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_those_go_that_were_not_read_for_longest(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, lambda: 10 * (100 + SEAL))
    for number in range(10):
        cache.put(str(number), bytes(100))
        os.utime(tmp_path / str(number), (number, number))
    assert cache.get("0") is not None  # the entry was the oldest, and reading it makes it the newest

    cache.put("10", bytes(100))

    # The cache shrinks to nine tenths of its limit, so two of the eleven entries go.
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["0", "3", "4", "5", "6", "7", "8", "9", "10"])


def test_what_other_processes_put_in_counts(tmp_path: Path) -> None:
    for number in range(20):
        DiskCache(tmp_path, lambda: 1000).put(str(number), bytes(100))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1000


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: b""])
def test_what_is_damaged_is_not_there(tmp_path: Path, damage: object) -> None:
    cache = DiskCache(tmp_path, lambda: 1000)
    cache.put("a", b"data")
    file = tmp_path / "a"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]

    assert cache.get("a") is None


def test_a_folder_that_cannot_be_written_to_is_no_error(public_folder: Path) -> None:
    public_folder.chmod(0o555)
    with without_privileges():
        cache = DiskCache(public_folder / "cache", lambda: 1000)
        cache.put("a", b"data")

        assert cache.get("a") is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 1 MB disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_it_leaves_a_twentieth_of_a_disk_to_what_cannot_be_made_again(small_disk: Path) -> None:
    cache = DiskCache(small_disk / "cache", lambda: 1 << 30)

    for number in range(200):
        cache.put(str(number), bytes(8000))  # 1.6 MB

    kept = sum(cache.get(str(number)) is not None for number in range(200))
    assert 100 < kept < 125  # an entry takes 2 blocks of 4,096 bytes, out of 256 - 12
    assert os.statvfs(small_disk).f_bavail >= 11
