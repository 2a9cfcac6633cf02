"""Files that kill, hang or exhaust the memory of the process that loads them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from pixsearch.decoding import DecodeLimits
from pixsearch.library.photo_files import content_digest
from pixsearch.library.records import FailedFile
from pixsearch.model.config import InputShape
from pixsearch.storage import FileStamp
from pixsearch_indexer import decoders
from pixsearch_indexer.decoders import Loaded, ToLoad, load, load_ahead, loading_pool
from pixsearch_indexer.load import LoadedFile
from tests.photos import make_photo

STAMP = FileStamp(1, 1)


def load_all(files: list[ToLoad], limits: DecodeLimits) -> list[Loaded]:
    with loading_pool(limits) as pool:
        return list(load_ahead(pool, files, InputShape(8, 8, "squash")))


def to_load(path: Path) -> ToLoad:
    return ToLoad(os.fsencode(path), STAMP)


def load_or_misbehave(file: ToLoad, *others: object) -> Loaded:
    """Load a file, or misbehave like a buggy decoding library. This runs in a worker process."""
    name = file.path.rpartition(b"/")[2]
    if b"crash" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"hang" in name:
        time.sleep(3600)
    return load(file, *others)  # type: ignore[arg-type]


def test_a_decoder_that_crashes_or_hangs_loses_its_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "load", load_or_misbehave)
    names = ["a.png", "crash 1.png", "b.png", "hang.png", "c.png", "crash 2.png", "d.png"]
    files = [to_load(make_photo(tmp_path / name)) for name in names]

    loaded = load_all(files, DecodeLimits(seconds=3.0))

    assert [result.reason if isinstance(result, FailedFile) else "loaded" for result in loaded] == [
        "loaded",
        "its decoder crashed (exit code -11)",
        "loaded",
        "not decoded within 3 s",
        "loaded",
        "its decoder crashed (exit code -11)",
        "loaded",
    ]
    assert {result.stamp for result in loaded if result is not None} == {STAMP}  # none of them is tried again


def test_files_come_in_their_order(tmp_path: Path) -> None:
    files = [to_load(make_photo(tmp_path / f"{number}.png", (number, 0, 0))) for number in range(100)]

    loaded = load_all(files, DecodeLimits())

    assert [result and result.path for result in loaded] == [file.path for file in files]


def test_only_a_file_of_an_unknown_content_is_decoded(tmp_path: Path) -> None:
    old, new = make_photo(tmp_path / "old.png", "red"), make_photo(tmp_path / "new.png", "lime")
    encoded = frozenset({content_digest(old.read_bytes())})

    loaded = load_all([ToLoad(os.fsencode(path), STAMP, encoded) for path in (old, new)], DecodeLimits())

    assert [isinstance(result, LoadedFile) and result.decoded is not None for result in loaded] == [False, True]


def test_a_file_that_needs_more_memory_than_the_limit_is_a_failure_and_the_next_one_is_loaded(tmp_path: Path) -> None:
    Image.new("RGB", (10_000, 10_000)).save(tmp_path / "large.png", compress_level=1)
    small = make_photo(tmp_path / "small.png")

    large, after = load_all([to_load(tmp_path / "large.png"), to_load(small)], DecodeLimits(memory_bytes=600 << 20))

    assert isinstance(large, FailedFile)
    assert "memory" in large.reason
    assert isinstance(after, LoadedFile)


def test_an_object_that_comes_too_slowly_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "load", load_or_misbehave)

    [loaded] = load_all([ToLoad(b"s3://photos/hang.png", FileStamp(10, 1))], DecodeLimits(seconds=1.0))

    assert loaded == FailedFile(b"s3://photos/hang.png", None, "not decoded within 1 s")
