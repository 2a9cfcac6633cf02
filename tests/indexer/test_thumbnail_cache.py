from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pixsearch.errors import LibraryError
from pixsearch_indexer import thumbnail_cache
from pixsearch_indexer.thumbnail_cache import LARGE, SMALL, ThumbnailCache, limit_of_small
from tests.conftest import without_privileges

SEAL = 32
JPEG = bytes(168)
"""A thumbnail that takes 200 bytes on disk."""

CacheOf = Callable[..., ThumbnailCache]


@pytest.fixture
def cache_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CacheOf:
    """Return the cache for a library with this number of pictures. It has room for 1,000 bytes and 200 per picture."""
    monkeypatch.setattr(thumbnail_cache, "ROOM_BYTES", 1000)
    monkeypatch.setattr(thumbnail_cache, "SMALL_BYTES", 200)
    return lambda name, pictures: ThumbnailCache(tmp_path, name, lambda: pictures)


def fill(cache: ThumbnailCache, numbers: range, edge: int = SMALL) -> None:
    for number in numbers:
        cache.put(bytes([number]), edge, JPEG)


def kept(cache: ThumbnailCache, numbers: range) -> int:
    return sum(cache.get(bytes([number]), SMALL) == JPEG for number in numbers)


def test_the_room_grows_with_the_library_and_is_never_less_than_512_mib() -> None:
    assert limit_of_small(0) == 536_870_912
    assert limit_of_small(100_000) == 5_452_070_912  # 512 MiB + 100,000 x 48 KiB


def test_all_small_thumbnails_of_a_library_stay_however_many_they_are(cache_of: CacheOf) -> None:
    cache = cache_of("large", 100)

    fill(cache, range(100))  # 20,000 bytes, although an empty library has room for only 1,000

    assert kept(cache, range(100)) == 100


def test_beyond_its_room_a_library_loses_those_that_were_not_looked_at_for_longest(
    cache_of: CacheOf, tmp_path: Path
) -> None:
    cache = cache_of("small", 1)  # room for 1,200 bytes, which is 6

    for number in range(12):
        cache.put(bytes([number]), SMALL, JPEG)
        os.utime(tmp_path / "thumbnails" / f"{number:02x}-320.jpg", (number, number))

    assert kept(cache, range(6)) == 0
    assert kept(cache, range(8, 12)) == 4


def test_a_small_library_leaves_a_large_one_its_thumbnails(cache_of: CacheOf) -> None:
    large, small = cache_of("large", 100), cache_of("small", 1)
    fill(large, range(100))

    fill(small, range(100, 105))

    assert (kept(large, range(100)), kept(small, range(100, 105))) == (100, 5)


def test_two_large_libraries_have_room_for_both(cache_of: CacheOf) -> None:
    one, other = cache_of("one", 60), cache_of("other", 60)

    fill(one, range(60))
    fill(other, range(60, 120))

    assert (kept(one, range(60)), kept(other, range(60, 120))) == (60, 60)


@pytest.mark.parametrize(("days", "stay"), [(89, True), (91, False)])
def test_a_library_that_nobody_uses_keeps_its_room_for_90_days(
    cache_of: CacheOf, tmp_path: Path, days: int, stay: bool
) -> None:
    fill(cache_of("gone", 100), range(100))
    (claim,) = (tmp_path / "thumbnail-claims").iterdir()
    before = time.time() - days * 24 * 60 * 60
    os.utime(claim, (before, before))

    small = cache_of("small", 1)
    fill(small, range(100, 101))

    assert (kept(small, range(100)) == 100) == stay


def test_large_thumbnails_take_nothing_from_small_ones(cache_of: CacheOf, tmp_path: Path) -> None:
    cache = cache_of("large", 100)
    fill(cache, range(100))

    fill(cache, range(100), LARGE)

    assert kept(cache, range(100)) == 100
    assert sum(file.stat().st_size for file in (tmp_path / "large-thumbnails").iterdir()) <= 1000


def test_what_a_run_is_about_to_add_is_not_contradicted_by_a_server_that_counts_what_is_there(
    cache_of: CacheOf, tmp_path: Path
) -> None:
    run, server = cache_of("library", 100), cache_of("library", 0)
    fill(run, range(50))

    fill(server, range(50, 60))

    assert kept(run, range(60)) == 60


def test_a_library_that_has_become_smaller_gives_its_room_back_after_a_day(cache_of: CacheOf, tmp_path: Path) -> None:
    fill(cache_of("library", 100), range(100))
    (claim,) = (tmp_path / "thumbnail-claims").iterdir()
    before = time.time() - 25 * 60 * 60
    os.utime(claim, (before, before))

    cache_of("library", 10).put(b"new", SMALL, JPEG)

    # The limit is 1,000 + 10 x 200 bytes, of which nine tenths are kept: 13 files.
    assert len(list((tmp_path / "thumbnails").iterdir())) == 13


def test_a_server_that_only_reads_keeps_the_room_of_its_library(cache_of: CacheOf) -> None:
    large, small = cache_of("large", 100), cache_of("small", 1)
    large.claim_room()

    fill(small, range(100))

    assert kept(large, range(100)) == 100


def test_nothing_is_deleted_where_the_pictures_cannot_be_counted(cache_of: CacheOf, tmp_path: Path) -> None:
    def cannot_count() -> int:
        raise LibraryError("the library is busy")

    fill(cache_of("library", 100), range(100))
    broken = ThumbnailCache(tmp_path, "broken", cannot_count)

    broken.put(b"new", SMALL, JPEG)

    assert kept(broken, range(100)) == 100
    assert broken.get(b"new", SMALL) == JPEG


@pytest.mark.parametrize("damage", [b"", b"-5", b"9" * 100, b"\xff", b"1e9", b"1_0"])
def test_a_damaged_claim_counts_as_none(cache_of: CacheOf, tmp_path: Path, damage: bytes) -> None:
    cache_of("large", 100).claim_room()
    (claim,) = (tmp_path / "thumbnail-claims").iterdir()
    claim.write_bytes(damage)

    fill(cache_of("small", 1), range(20))

    assert len(list((tmp_path / "thumbnails").iterdir())) <= 6


def test_a_rotten_thumbnail_is_not_there(cache_of: CacheOf, tmp_path: Path) -> None:
    cache = cache_of("library", 1)
    fill(cache, range(1))
    file = tmp_path / "thumbnails" / "00-320.jpg"
    file.write_bytes(b"x" + file.read_bytes()[1:])

    assert cache.get(bytes(1), SMALL) is None


def test_a_folder_that_cannot_be_written_to_is_no_error(public_folder: Path) -> None:
    public_folder.chmod(0o555)
    with without_privileges():
        cache = ThumbnailCache(public_folder, "library", lambda: 100)
        cache.claim_room()
        cache.put(b"new", SMALL, JPEG)

        assert cache.get(b"new", SMALL) is None


def test_thumbnails_and_claims_are_their_owner_s_alone(cache_of: CacheOf, tmp_path: Path) -> None:
    fill(cache_of("library", 1), range(1))

    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes["thumbnails"] == modes["thumbnail-claims"] == 0o700
    assert set(modes.values()) == {0o700, 0o600}


PUTS = """
import sys
from pathlib import Path
from pixsearch_indexer.thumbnail_cache import SMALL, ThumbnailCache

cache = ThumbnailCache(Path(sys.argv[1]), sys.argv[2], lambda: 300)
for number in range(300):
    cache.put(number.to_bytes(2), SMALL, number.to_bytes(2) * 500)
    kept = cache.get(((number * 7) % 300).to_bytes(2), SMALL)
    assert kept is None or kept == ((number * 7) % 300).to_bytes(2) * 500
"""


def test_two_processes_put_in_the_same_thumbnails_and_both_read_whole_ones(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", PUTS, tmp_path, name], env=environment, stderr=subprocess.PIPE)
        for name in ("one", "other")
    ]
    errors = [process.communicate()[1] for process in processes]

    assert errors == [b"", b""]
    cache = ThumbnailCache(tmp_path, "third", lambda: 0)
    assert all(cache.get(number.to_bytes(2), SMALL) == number.to_bytes(2) * 500 for number in range(300))
    assert len(list((tmp_path / "thumbnails").iterdir())) == 300
