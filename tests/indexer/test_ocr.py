"""Text that RapidOCR reads in pictures, and what it must never do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import rapidocr
from PIL import Image

from pixsearch.errors import PixsearchError
from pixsearch.library.photo_files import content_digest
from pixsearch.library.records import StoredPhoto, StoredPicture
from pixsearch.metadata import Metadata
from pixsearch.picture_files import MEGAPIXEL_LIMIT
from pixsearch.storage import stamp_of
from pixsearch_indexer import ocr
from pixsearch_indexer.ocr import NotRead, Writing, lines_in, read_photo
from pixsearch_indexer.writing import read_here
from tests.photos import make_photo
from tests.reading import crash_at_one_named_crash
from tests.signs import NO_LITTER, make_sign, sign

READS_WITHOUT_A_NETWORK = """
import socket, sys

def refuse(*arguments, **options):
    raise SystemExit("something goes to the network")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
sys.path[:0] = sys.argv[1:3]
from pixsearch_indexer.ocr import lines_in
from tests.reading import crash_at_one_named_crash
from tests.photos import make_photo
from tests.signs import sign
print(*lines_in(sign()), sep="|")
"""
HEARS_A_SIGNAL_AFTERWARDS = """
import os, signal, sys
sys.path[:0] = sys.argv[1:3]
from pixsearch_indexer import ocr
from tests.signs import sign
ocr.lines_in(sign())
ocr._reader.cache_clear()
signal.signal(signal.SIGINT, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.fixture(autouse=True)
def _a_priority_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this process's priority, because it does more than read text."""
    monkeypatch.setattr(os, "nice", lambda _: 0)


def stored(file: Path, content: bytes | None = None) -> StoredPicture:
    """Return a photo as the library knows it, or as it was when the file had a different `content`."""
    digest = content_digest(file.read_bytes() if content is None else content)
    metadata = Metadata("PNG", 800, 600)
    photo = StoredPhoto(file, stamp_of(file), bytes(file.parent), metadata)
    return StoredPicture(1, digest, file.stat().st_size, metadata, (photo,))


def read(picture: StoredPicture) -> Writing:
    return read_photo(picture.photos, picture.digest, MEGAPIXEL_LIMIT)


@pytest.mark.parametrize("turned", [0, 10, -10, 90, 180, 270])
def test_a_sign_is_read_however_it_is_turned(turned: int) -> None:
    assert sorted(lines_in(sign(turned=turned))) == sorted(NO_LITTER)


def test_lines_come_from_top_to_bottom() -> None:
    assert lines_in(sign()) == NO_LITTER


@pytest.mark.parametrize("size", [14, 20, 60])
def test_small_and_large_letters_are_read(size: int) -> None:
    assert lines_in(sign(size=size)) == NO_LITTER


def test_where_nothing_is_written_nothing_is_read() -> None:
    noise = Image.effect_noise((800, 600), 30).convert("RGB")
    flat = Image.new("RGB", (800, 600), "darkgreen")

    assert lines_in(noise) == lines_in(flat) == ()


def test_a_line_without_a_letter_or_a_digit_is_left_out() -> None:
    assert lines_in(sign(["SALE", "=========", "10 EUR"])) == ("SALE", "10 EUR")


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 3000), (3000, 1), (20, 6000)])
def test_a_picture_of_any_shape_can_be_read(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "white").save(tmp_path / "odd.png")

    assert read(stored(tmp_path / "odd.png")) == ()


def test_letters_that_are_large_enough_in_a_large_photo_are_read(tmp_path: Path) -> None:
    sign(size=120, edges=(4000, 3000)).save(tmp_path / "large.jpg")

    assert read(stored(tmp_path / "large.jpg")) == NO_LITTER


def test_a_file_that_is_gone_or_has_changed_is_left_for_later(tmp_path: Path) -> None:
    there = stored(make_sign(tmp_path / "sign.png"))
    changed = stored(tmp_path / "sign.png", b"as it was")
    (tmp_path / "other.png").write_bytes((tmp_path / "sign.png").read_bytes())
    gone = stored(tmp_path / "other.png")
    (tmp_path / "other.png").unlink()

    assert read(there) == NO_LITTER
    for picture in (changed, gone):
        result = read(picture)
        assert isinstance(result, NotRead)
        assert not result.for_good


def test_a_file_that_is_no_picture_is_not_read_for_good(tmp_path: Path) -> None:
    (tmp_path / "rubbish.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")

    result = read(stored(tmp_path / "rubbish.png"))

    assert isinstance(result, NotRead)
    assert result.for_good


def test_a_copy_is_read_where_the_first_one_is_gone(tmp_path: Path) -> None:
    first, second = stored(make_sign(tmp_path / "a.png")), stored(make_sign(tmp_path / "b.png"))
    (tmp_path / "a.png").unlink()

    assert read_photo(first.photos + second.photos, first.digest, MEGAPIXEL_LIMIT) == NO_LITTER


def test_a_rapidocr_without_its_models_is_one_line_that_says_how_to_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rapidocr, "__file__", str(tmp_path / "__init__.py"))

    with pytest.raises(PixsearchError, match=r"lacks its model PP-OCRv6_det_small\.onnx\. Reinstall it with: .* pip"):
        ocr._reader.__wrapped__()


def run(program: str) -> subprocess.CompletedProcess[str]:
    project = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(project), str(project / "indexer")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_signal_does_not_crash_a_process_that_has_read() -> None:
    finished = run(HEARS_A_SIGNAL_AFTERWARDS)

    assert (finished.stdout, finished.returncode) == ("heard\n", 0)


def test_nothing_is_downloaded_and_nothing_is_printed() -> None:
    finished = run(READS_WITHOUT_A_NETWORK)

    assert (finished.stdout, finished.stderr, finished.returncode) == ("|".join(NO_LITTER) + "\n", "", 0)


def test_a_picture_that_crashes_what_reads_it_loses_its_writing_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "read_photo", crash_at_one_named_crash)
    names = ("before.png", "crash.png", "after.png")
    pictures = [stored(make_photo(tmp_path / name, (number, 0, 0))) for number, name in enumerate(names)]

    results = [step[1] for step in read_here(pictures, MEGAPIXEL_LIMIT) if step is not None]

    assert results == [("read",), NotRead("its decoder crashed (exit code -6)", for_good=True), ("read",)]
