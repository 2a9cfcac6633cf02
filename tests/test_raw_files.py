"""RAW files from cameras: the preview's pixels, with the RAW file's own size and metadata."""

from __future__ import annotations

import io
import os
import struct
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from PIL import Image

from pixsearch import Library
from pixsearch.database.state import LibraryModel
from pixsearch.errors import PictureError
from pixsearch.library.records import FailedFile
from pixsearch.metadata import Metadata
from pixsearch.model.config import InputShape
from pixsearch.picture_files import RAW_WITHOUT_RAWPY, has_picture_signature
from pixsearch.pictures import open_header, open_picture
from pixsearch.storage import FileStamp
from pixsearch_indexer import index_folders
from pixsearch_indexer.load import load_file
from pixsearch_indexer.metadata.reader import read_metadata
from tests.colour_runtime import ColourRuntime
from tests.photos import picture_bytes
from tests.raw_photos import SENSOR, dng_bytes

pytest.importorskip("rawpy")


def red_above_blue() -> bytes:
    picture = Image.new("RGB", (160, 120), "blue")
    picture.paste("red", (0, 0, 160, 60))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG")
    return buffer.getvalue()


def colour_at(picture: Image.Image, across: float, down: float) -> str:
    red, _, blue = picture.getpixel((int(picture.width * across), int(picture.height * down)))  # type: ignore[misc]
    return "red" if red > 200 > blue else "blue" if blue > 200 > red else "another"


def test_a_raw_file_is_its_preview_with_the_sensors_size_and_its_own_metadata() -> None:
    header = open_header(dng_bytes(red_above_blue()))

    assert read_metadata(header) == Metadata(
        format="RAW",
        width=640,
        height=480,
        taken_at=datetime(2024, 4, 1, 12, 30, 5, tzinfo=timezone(timedelta(hours=11))),
        camera="Pixsearch Test One",
        lens="Hand-made 35mm F2",
        latitude=-33.85675,
        longitude=151.21525,
        title="Harbour",
        keywords=("harbour",),
        date_kind="taken",
    )
    assert open_picture(dng_bytes(red_above_blue())).size == (160, 120)


@pytest.mark.parametrize(
    ("orientation", "red_side", "blue_side"),
    [  # EXIF 2.32, 4.6.4: where the stored picture's top is in the upright picture
        (1, (0.5, 0.1), (0.5, 0.9)),
        (3, (0.5, 0.9), (0.5, 0.1)),
        (6, (0.9, 0.5), (0.1, 0.5)),
        (8, (0.1, 0.5), (0.9, 0.5)),
    ],
)
def test_a_raw_file_comes_upright(
    orientation: int, red_side: tuple[float, float], blue_side: tuple[float, float]
) -> None:
    data = dng_bytes(red_above_blue(), orientation=orientation)

    picture = open_picture(data, min_edge=40)

    assert colour_at(picture, *red_side) == "red"
    assert colour_at(picture, *blue_side) == "blue"
    metadata = read_metadata(open_header(data))
    assert (metadata.width, metadata.height) == (SENSOR if orientation in (1, 3) else SENSOR[::-1])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("preview", [None, b"no picture"])
def test_a_raw_file_without_a_preview_is_developed(preview: bytes | None, orientation: int) -> None:
    picture = open_picture(dng_bytes(preview, orientation=orientation))

    assert picture.size == ((320, 240) if orientation == 1 else (240, 320))
    assert colour_at(picture, 0.5, 0.5) == "red"


def test_what_a_file_is_called_does_not_make_it_raw(tmp_path: Path) -> None:
    (tmp_path / "photo.dng").write_bytes(picture_bytes("red", "TIFF"))
    (tmp_path / "photo.tif").write_bytes(dng_bytes(red_above_blue()))

    assert open_header(tmp_path / "photo.dng").format == "TIFF"
    assert open_header(tmp_path / "photo.tif").format == "RAW"


def test_a_tiff_that_a_camera_program_wrote_is_no_raw_file() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[271] = "Canon"
    Image.new("RGB", (8, 8), "red").save(buffer, "TIFF", exif=exif)

    assert open_header(buffer.getvalue()).format == "TIFF"


@pytest.mark.parametrize(
    "head",
    [
        b"IIRO\x08\0\0\0",
        b"IIRS\x08\0\0\0",
        b"MMOR\0\0\0\x08",
        b"IIU\0\x08\0\0\0",
        b"FUJIFILMCCD-RAW 0201",
        b"\0\0\0\x18ftypcrx \0\0\0\x01",
        b"II*\0\x10\0\0\0CR\x02\0",
    ],
)
def test_each_makers_raw_files_are_known_by_their_first_bytes(head: bytes) -> None:
    assert has_picture_signature(head)
    with pytest.raises(
        PictureError, match="cannot be decoded: Unsupported file format or not RAW file"
    ):  # LibRaw's own message, so the file reached LibRaw
        open_header(head.ljust(2000, b"\0"))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.99])
def test_a_raw_file_cut_short_is_a_failure(share: float) -> None:
    data = dng_bytes(red_above_blue())

    with pytest.raises(PictureError):
        open_picture(data[: int(len(data) * share)])


def test_directories_that_lead_in_circles_or_nowhere_are_no_trap() -> None:
    for offset in (8, 2**32 - 1):
        tags = struct.pack("<HHHIII", 1, 330, 4, 1, offset, 0)
        with pytest.raises(PictureError):
            open_picture(b"II*\0\x08\0\0\0" + tags)


def test_a_raw_file_larger_than_the_limit_is_not_decoded() -> None:
    with pytest.raises(PictureError, match="more than 0 megapixels"):
        open_header(dng_bytes(red_above_blue()), megapixels=0)


def test_without_rawpy_a_raw_file_is_a_failure_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.dng").write_bytes(dng_bytes(red_above_blue()))
    monkeypatch.setitem(sys.modules, "rawpy", None)

    loaded = load_file(os.fsencode(tmp_path / "photo.dng"), FileStamp(1, 1), True, InputShape(64, 64, "squash"), 300)

    assert isinstance(loaded, FailedFile)
    assert loaded.reason == "reading RAW files requires rawpy: pip install 'pixsearch[raw]'"


def test_raw_files_are_indexed_as_soon_as_rawpy_is_installed(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    photo = photos / "photo.dng"
    photo.write_bytes(dng_bytes(red_above_blue()))
    found = photo.stat()
    with library.writing() as writer:
        writer.use_model(LibraryModel(runtime.fingerprint, runtime.name, runtime.embedding_size))
        stamp = FileStamp(found.st_size, found.st_mtime_ns)
        failure = FailedFile(os.fsencode(photo), stamp, RAW_WITHOUT_RAWPY)
        writer.store(writer.root_of(os.fsencode(photos))[0], [], [], [failure])

    report = index_folders(library, runtime, [photos])

    assert (report.encoded, report.failed) == (1, 0)
    assert library.failures() == []
