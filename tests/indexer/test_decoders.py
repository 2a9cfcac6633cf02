"""Files that kill, hang or bloat whoever decodes them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from pixsearch.library.records import FailedFile
from pixsearch.storage import FileStamp
from pixsearch_indexer import decoders as decoders_module
from pixsearch_indexer.decoders import DecodeLimits, ToLoad, decoders
from pixsearch_indexer.load import LoadedFile, load_file
from tests.photos import make_photo

STAMP = FileStamp(1, 1)


def load_all(paths: list[Path], limits: DecodeLimits) -> list[LoadedFile | FailedFile | None]:
    with decoders(limits, min_edge=8) as pool:
        files = (ToLoad(os.fsencode(path), STAMP) for path in paths)
        return list(pool.load_ahead(files))


def load_or_misbehave(path: bytes, *others: object) -> LoadedFile | FailedFile | None:
    """In the process of a decoder: what a bug of a decoding library does to it."""
    name = path.rpartition(b"/")[2]
    if b"crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"hang" in name:
        time.sleep(3600)
    return load_file(path, *others)  # type: ignore[arg-type]


def test_a_decoder_that_crashes_or_hangs_loses_its_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders_module, "load_file", load_or_misbehave)
    names = ["a.png", "crash 1.png", "b.png", "hang.png", "c.png", "crash 2.png", "d.png"]
    paths = [make_photo(tmp_path / name) for name in names]

    loaded = load_all(paths, DecodeLimits(seconds=3.0))

    assert [result.reason if isinstance(result, FailedFile) else "loaded" for result in loaded] == [
        "loaded",
        "its decoder crashed (exit code -11)",
        "loaded",
        "not decoded within 3 s",
        "loaded",
        "its decoder crashed (exit code -11)",
        "loaded",
    ]


def test_results_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    paths = [make_photo(tmp_path / f"{number}.png", (number, 0, 0)) for number in range(100)]

    loaded = load_all(paths, DecodeLimits())

    assert [result and result.path for result in loaded] == [os.fsencode(path) for path in paths]


def test_a_file_that_needs_more_memory_than_the_limit_is_a_failure_and_the_next_one_is_loaded(tmp_path: Path) -> None:
    Image.new("RGB", (10_000, 10_000)).save(tmp_path / "large.png", compress_level=1)
    small = make_photo(tmp_path / "small.png")

    large, after = load_all([tmp_path / "large.png", small], DecodeLimits(memory_bytes=600 << 20))

    assert isinstance(large, FailedFile)
    assert "memory" in large.reason
    assert isinstance(after, LoadedFile)


def test_an_object_that_comes_too_slowly_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders_module, "load_file", load_or_misbehave)

    with decoders(DecodeLimits(seconds=1.0), 8) as processes:
        [loaded] = processes.load_ahead([ToLoad(b"s3://photos/hang.png", FileStamp(10, 1))])

    assert loaded == FailedFile(b"s3://photos/hang.png", None, "not decoded within 1 s")
