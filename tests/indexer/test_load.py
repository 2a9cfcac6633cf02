from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch.library.records import FailedFile
from pixsearch.model.config import InputShape
from pixsearch.storage import FileStamp, stamp_of
from pixsearch_indexer.load import LoadedFile, describe_file, load_file
from pixsearch_indexer.metadata.sidecars import Sidecar
from tests.conftest import without_privileges
from tests.photos import make_photo, noise_bytes

STAMP = FileStamp(1, 1)
SHAPE = InputShape(64, 64, "squash")


def load(path: Path, shape: InputShape = SHAPE, megapixels: int = 300) -> LoadedFile | FailedFile | None:
    return load_file(os.fsencode(path), STAMP, True, shape, megapixels)


def red_above_blue(format: str) -> bytes:
    """Make a noisy picture, so that truncating its file truncates the picture."""
    pixels = np.random.default_rng(0).integers(0, 100, (480, 640, 3), dtype=np.uint8)
    pixels[:240, :, 0] += 150
    pixels[240:, :, 2] += 150
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def test_a_file_that_may_not_be_read_is_a_failure_that_is_tried_again(public_folder: Path) -> None:
    file = make_photo(public_folder / "red.png")
    file.chmod(0)

    with without_privileges():
        loaded = load(file)

    assert loaded == FailedFile(os.fsencode(file), None, "cannot be read: Permission denied")


def test_a_file_that_is_gone_since_the_scan_is_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "gone.jpg") is None


def test_a_file_that_changed_since_it_was_looked_at_says_nothing_about_the_content_of_before(tmp_path: Path) -> None:
    file = make_photo(tmp_path / "red.png")
    stamp = stamp_of(file)
    assert describe_file(os.fsencode(file), stamp, b"digest", 300) is not None

    file.write_bytes(file.read_bytes())  # the same size as before
    os.utime(file, ns=(stamp.mtime_ns + 1, stamp.mtime_ns + 1))
    assert describe_file(os.fsencode(file), stamp, b"digest", 300) is None

    file.write_bytes(file.read_bytes() + b"more")
    assert describe_file(os.fsencode(file), stamp, b"digest", 300) is None


def xmp_naming(encoding: str) -> bytes:
    return (
        f'<?xpacket begin=""?><?xml version="1.0" encoding="{encoding}"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="cat"/></rdf:RDF></x:xmpmeta>'
    ).encode()


@pytest.mark.parametrize("encoding", ["no-such", "utf-7", "cp037", "utf-32", "idna", "zlib_codec", "rot13", "\udcff"])
@pytest.mark.parametrize("before", [b"", b"<?xpacket?>", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_photo_is_not_lost_to_the_encoding_that_its_xmp_names(tmp_path: Path, encoding: str, before: bytes) -> None:
    file = tmp_path / "a.jpg"
    packet = before + xmp_naming("?").replace(b"?", encoding.encode(errors="surrogateescape"), 1)
    Image.new("RGB", (8, 8)).save(file, xmp=packet)
    file.with_suffix(".xmp").write_bytes(packet)
    beside = [Sidecar(os.fsencode(file.with_suffix(".xmp")), stamp_of(file.with_suffix(".xmp")))]

    loaded = load_file(os.fsencode(file), stamp_of(file), True, SHAPE, 300, beside)

    assert isinstance(loaded, LoadedFile)


@pytest.mark.parametrize("error", [LookupError("unknown encoding: x"), RecursionError(), MemoryError()])
@pytest.mark.parametrize("reader", ["read_xmp", "read_exif", "blocks_of", "description_of"])
def test_a_photo_is_not_lost_to_metadata_on_which_a_reader_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    exif = Image.Exif()
    exif[0x010F] = "a camera"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", xmp=xmp_naming("utf-8"), exif=exif)
    monkeypatch.setattr(f"pixsearch_indexer.metadata.reader.{reader}", fail)

    loaded = load(tmp_path / "a.jpg")

    assert isinstance(loaded, LoadedFile)
    assert loaded.decoded is not None
    assert loaded.decoded.metadata.note == "its metadata cannot be read"


def test_a_digest_can_be_had_without_decoding(tmp_path: Path) -> None:
    file = tmp_path / "rubbish.jpg"
    file.write_bytes(b"nothing that could be decoded")
    digest = hashlib.blake2b(b"nothing that could be decoded", digest_size=32).digest()

    assert load_file(os.fsencode(file), STAMP, False, SHAPE, 300) == LoadedFile(os.fsencode(file), STAMP, digest, None)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF", "PPM"])
def test_a_file_cut_behind_its_middle_is_taken_as_far_as_it_goes_and_marked(tmp_path: Path, format: str) -> None:
    whole = red_above_blue(format)
    (tmp_path / "cut").write_bytes(whole[: len(whole) * 7 // 10])

    loaded = load(tmp_path / "cut", InputShape(320, 1333, "shorter_edge"))

    assert isinstance(loaded, LoadedFile)
    assert loaded.decoded is not None
    share, pixels = loaded.decoded.metadata.share_decoded, loaded.decoded.pixels
    assert share == pytest.approx(0.7, abs=0.08)
    assert (loaded.decoded.metadata.width, loaded.decoded.metadata.height) == (640, 480)
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(share * 480 / 640, rel=0.05)
    # No row is made up: one half (in BMP the lower one) is complete, some of the other is there, and there is no grey.
    rows = pixels.mean(axis=1, dtype=np.float32)
    redness = rows[:, 0] - rows[:, 2]
    assert (redness < -100).mean() == pytest.approx((0.5 if format == "BMP" else share - 0.5) / share, abs=0.05)
    assert (redness > 100).mean() == pytest.approx((share - 0.5 if format == "BMP" else 0.5) / share, abs=0.05)


@pytest.mark.parametrize(
    ("shape", "rows_and_columns"),
    [
        (InputShape(64, 64, "squash"), (64, 64)),
        (InputShape(96, 1333, "shorter_edge"), (96, 128)),
        # 106.7 x 80, rounded to the nearest multiples of 32. Resizing twice would make it 128 wide.
        (InputShape(80, 1333, "shorter_edge"), (64, 96)),
    ],
)
@pytest.mark.parametrize("size", [(640, 480), (64, 48)])
def test_a_picture_comes_in_the_size_that_the_network_sees(
    tmp_path: Path, shape: InputShape, rows_and_columns: tuple[int, int], size: tuple[int, int]
) -> None:
    Image.new("L", size, 200).save(tmp_path / "grey.png")

    loaded = load(tmp_path / "grey.png", shape)

    assert isinstance(loaded, LoadedFile)
    assert loaded.decoded is not None
    assert (loaded.decoded.metadata.width, loaded.decoded.metadata.height) == size
    assert loaded.decoded.pixels.shape == (*rows_and_columns, 3)
    assert (loaded.decoded.pixels == 200).all()


def test_a_picture_is_all_that_leaves_the_process_that_decodes_it(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "large profile.png", icc_profile=bytes(1_000_000), compress_level=0)

    assert len(pickle.dumps(load(tmp_path / "large profile.png"))) < 64 * 64 * 3 + 2000


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF", "PPM", "WEBP", "GIF"])
@pytest.mark.parametrize("tenths", [1, 2, 3, 4])
def test_a_file_cut_before_its_middle_is_a_failure_with_its_reason(tmp_path: Path, format: str, tenths: int) -> None:
    whole = noise_bytes(format, (640, 480))
    (tmp_path / "cut").write_bytes(whole[: len(whole) * tenths // 10])

    loaded = load(tmp_path / "cut")

    assert isinstance(loaded, FailedFile)
    assert loaded.stamp == STAMP
    assert loaded.reason


def test_a_picture_above_the_limit_is_refused_and_one_at_it_is_not(tmp_path: Path) -> None:
    Image.new("1", (2000, 1000)).save(tmp_path / "two.png")
    Image.new("1", (2001, 1000)).save(tmp_path / "more.png")

    assert isinstance(load(tmp_path / "two.png", megapixels=2), LoadedFile)
    assert load(tmp_path / "more.png", megapixels=2) == FailedFile(
        os.fsencode(tmp_path / "more.png"), STAMP, "more than 2 megapixels"
    )
