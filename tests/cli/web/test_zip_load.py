"""The cost of sending zip files: memory on the server, and slower searches."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from threading import Thread

import httpx2
import pytest

from tests.cli.conftest import Run
from tests.cli.web.conftest import Serve
from tests.cli.web.test_zip_api import download
from tests.photos import picture_bytes

pytestmark = pytest.mark.slow

MEGABYTE = 1 << 20
MOST_GROWTH_MB = 32
SEARCHES = 40


@pytest.fixture
def gigabyte(photos: Path, run: Run, indexed: Path) -> list[Path]:
    """128 photos of 8 MB each: after the JPEG's end, the file is a hole."""
    made = []
    for number in range(128):
        photo = photos / f"{number:03}.jpg"
        photo.write_bytes(picture_bytes((2 * number, 90, 255 - number), "JPEG"))
        os.truncate(photo, 8 * MEGABYTE)
        made.append(photo)
    assert run("index", photos).exit_code == 0
    return made


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
def test_the_memory_of_the_server_stays_flat_while_a_gigabyte_is_sent(serve: Serve, gigabyte: list[Path]) -> None:
    address = serve()
    ids = httpx2.get(f"{address}/api/timeline/ids").json()["ids"]
    for _ in range(2):  # the first round loads what is loaded only once
        httpx2.post(f"{address}/api/zip", json={"ids": ids[:3]})
    before = peak = resident_mb()
    received, buffer = 0, bytearray(MEGABYTE)
    with download(address, ids) as reader:
        while size := reader.recv_into(buffer):
            received += size
            peak = max(peak, resident_mb())

    print(f"\n{received / MEGABYTE:.0f} MB sent; {before:.0f} MB resident before, {peak:.0f} MB at most")
    assert received > 10**9
    assert peak - before < MOST_GROWTH_MB


def test_searches_stay_fast_beside_two_zips(serve: Serve, gigabyte: list[Path]) -> None:
    address = serve()
    ids = httpx2.get(f"{address}/api/timeline/ids").json()["ids"]
    with httpx2.Client(base_url=address) as client, ExitStack() as downloads:

        def searched() -> float:
            began = time.perf_counter()
            assert client.get("/api/search?q=red&k=30").status_code == 200
            return time.perf_counter() - began

        searched()
        alone = median(searched() for _ in range(SEARCHES))
        readers = [downloads.enter_context(download(address, ids)) for _ in range(2)]
        threads = [Thread(target=_drain, args=(reader,)) for reader in readers]
        for thread in threads:
            thread.start()
        beside = median(searched() for _ in range(SEARCHES))
        assert client.get("/api/zip").status_code == 503  # both are still being sent
        for reader in readers:
            reader.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    print(f"\na search took {1000 * alone:.1f} ms alone and {1000 * beside:.1f} ms beside two zips (median)")
    assert beside < max(4 * alone, 0.5)  # the clients and the test use the same processors


def _drain(reader: socket.socket) -> None:
    buffer = bytearray(MEGABYTE)
    while reader.recv_into(buffer):
        pass
