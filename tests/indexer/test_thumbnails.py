"""Tests of small thumbnails, which are made while photos are indexed."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch import Library
from pixsearch.library.photo_files import content_digest
from pixsearch.model.config import InputShape
from pixsearch.storage import stamp_of
from pixsearch_indexer import IndexOptions, IndexReport, index_folders
from pixsearch_indexer.load import LoadedFile, load_file
from pixsearch_indexer.thumbnail_cache import SMALL, ThumbnailCache
from pixsearch_indexer.thumbnails import photo_thumbnail
from tests.colour_runtime import ColourRuntime
from tests.conftest import COLOURS
from tests.loading import load_in_this_process
from tests.photos import make_photo, noise_bytes

SHIPPED = InputShape(288, 1333, "squash")
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set and return the folder of the small thumbnails."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pixsearch" / "thumbnails"


def load(file: Path, shape: InputShape = SHIPPED) -> LoadedFile:
    loaded = load_file(os.fsencode(file), stamp_of(file), True, shape, 300)
    assert isinstance(loaded, LoadedFile)
    return loaded


def drawn(file: Path, shape: InputShape = SHIPPED) -> Image.Image:
    thumbnail = load(file, shape).thumbnail
    assert thumbnail is not None
    picture = Image.open(io.BytesIO(thumbnail))
    assert (picture.format, picture.mode) == ("JPEG", "RGB")
    return picture


def thumbnail_of(photo: Path) -> bytes | None:
    """Return a photo's cached thumbnail."""
    cache = ThumbnailCache(Path(os.environ["XDG_CACHE_HOME"]) / "pixsearch", "test", lambda: 0)
    return cache.get(content_digest(photo.read_bytes()), SMALL)


@pytest.mark.parametrize(
    ("format", "size", "expected"),
    [
        ("PNG", (1600, 1200), (427, 320)),  # 1600 x 320 / 1200
        ("PNG", (1200, 1600), (320, 427)),
        ("JPEG", (1600, 1200), (400, 300)),  # decoded at 1/4, the smallest scale with at least 288 pixels
        ("JPEG", (1000, 750), (500, 375)),  # decoded at 1/2, which is close enough to 320
        ("JPEG", (1100, 825), (426, 320)),  # decoded at 1/2, which is 550 x 413
        ("PNG", (400, 400), (400, 400)),
        ("PNG", (401, 401), (320, 320)),
        ("PNG", (4000, 200), (1280, 64)),  # at most four times 320
        ("PNG", (100, 50), (100, 50)),  # never enlarged
        ("PNG", (1, 1), (1, 1)),
        ("PNG", (1, 3000), (1, 1280)),
    ],
)
def test_its_shorter_edge_has_320_pixels_or_a_little_more_or_as_many_as_were_decoded(
    tmp_path: Path, format: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    Image.new("RGB", size, (10, 200, 30)).save(tmp_path / "photo", format)

    picture = drawn(tmp_path / "photo")

    assert picture.size == expected
    assert np.abs(np.asarray(picture).astype(int) - (10, 200, 30)).max() <= 3


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),  # transparency is shown on white
        ("P", 0, None),
    ],
)
def test_grey_cmyk_and_transparent_pictures_have_rgb_ones(
    tmp_path: Path, mode: str, colour: object, expected: tuple[int, int, int] | None
) -> None:
    format = {"CMYK": "TIFF"}.get(mode, "PNG")
    Image.new(mode, (400, 300), colour).save(tmp_path / "photo", format)  # type: ignore[arg-type]

    pixel = drawn(tmp_path / "photo").getpixel((200, 150))

    if expected is not None:
        assert np.abs(np.subtract(pixel, expected)).max() <= 3  # type: ignore[arg-type]


def test_it_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((320, 640, 3), np.uint8)
    pixels[:, :320] = 255, 0, 0  # red at the left; a 90 degree clockwise turn moves it to the top
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(pixels).save(tmp_path / "held.jpg", exif=exif)

    picture = drawn(tmp_path / "held.jpg")

    assert picture.size == (320, 640)
    assert picture.getpixel((160, 100))[0] > 200  # type: ignore[index]
    assert picture.getpixel((160, 540))[0] < 50  # type: ignore[index]
    assert ORIENTATION not in picture.getexif()  # otherwise, a browser would turn it again


def test_of_a_file_that_is_cut_short_it_shows_what_was_indexed(tmp_path: Path) -> None:
    whole = noise_bytes("JPEG", (640, 480))
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) * 3 // 4])

    loaded, picture = load(tmp_path / "cut.jpg"), drawn(tmp_path / "cut.jpg")

    assert loaded.decoded is not None
    rows = loaded.decoded.metadata.share_decoded * 480
    assert 240 < rows < 480
    assert picture.width / picture.height == pytest.approx(640 / rows, rel=0.01)


def test_there_is_none_where_the_model_sees_too_small_a_picture(tmp_path: Path) -> None:
    tiny = InputShape(64, 64, "squash")
    (tmp_path / "large.jpg").write_bytes(noise_bytes("JPEG", (1600, 1200)))
    (tmp_path / "small.jpg").write_bytes(noise_bytes("JPEG", (110, 90)))

    assert load(tmp_path / "large.jpg", tiny).thumbnail is None  # decoded at 1/8, which is 200 x 150
    assert drawn(tmp_path / "small.jpg", tiny).size == (110, 90)


def test_it_is_what_a_request_would_have_made_where_as_much_was_decoded(
    library: Library, runtime: ColourRuntime, photos: Path
) -> None:
    for name, size in (("small.png", (15, 12)), ("long.png", (3000, 12))):
        (photos / name).write_bytes(noise_bytes("PNG", size))
    index_folders(library, runtime, [photos], load_files=load_in_this_process)

    for id in (1, 2):
        picture = library.picture(id)
        assert picture is not None
        on_request = photo_thumbnail(picture.photos[0], picture.digest, SMALL, 300)
        assert thumbnail_of(picture.photos[0].path) == on_request is not None  # type: ignore[arg-type]


def test_every_photo_that_a_run_encodes_has_one(library: Library, runtime: ColourRuntime, photos: Path) -> None:
    for colour in COLOURS:
        make_photo(photos / f"{colour}.png", colour)
    (photos / "no photo.jpg").write_bytes(b"no photo")

    index_folders(library, runtime, [photos])

    assert all(thumbnail_of(photos / f"{colour}.png") for colour in COLOURS)


def test_a_photo_whose_content_is_known_gets_none(
    library: Library, runtime: ColourRuntime, photos: Path, kept: Path
) -> None:
    make_photo(photos / "red.png")
    index_folders(library, runtime, [photos])
    assert len(list(kept.iterdir())) == 1
    shutil.rmtree(kept)
    shutil.copy(photos / "red.png", photos / "again.png")
    (photos / "red.png").rename(photos / "renamed.png")

    report = index_folders(library, runtime, [photos])

    assert (report.reused, report.encoded) == (2, 0)
    assert not kept.exists()


def test_a_switch_to_another_model_draws_them_again(
    library: Library, runtime: ColourRuntime, photos: Path, kept: Path
) -> None:
    make_photo(photos / "red.png")
    index_folders(library, runtime, [photos])
    shutil.rmtree(kept)

    index_folders(library, ColourRuntime(fingerprint="dd" * 32), [photos], options=IndexOptions(switch_model=True))

    assert thumbnail_of(photos / "red.png") is not None


def test_a_cache_folder_that_cannot_be_written_to_fails_no_run(
    library: Library, runtime: ColourRuntime, photos: Path, public_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(photos / "red.png")
    (public_folder / "cache").write_text("no folder can be made here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(public_folder / "cache"))

    assert index_folders(library, runtime, [photos]) == IndexReport(found=1, encoded=1)


def test_a_user_without_a_home_indexes_without_thumbnails(
    library: Library, runtime: ColourRuntime, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")  # the error that platformdirs raises

    make_photo(photos / "red.png")
    monkeypatch.setattr("platformdirs.user_cache_path", no_home)

    assert index_folders(library, runtime, [photos]) == IndexReport(found=1, encoded=1)


def test_a_run_looks_through_what_is_kept_far_less_than_once_a_photo(
    library: Library, runtime: ColourRuntime, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr("pixsearch.disk_cache.DiskCache._make_room", lambda *_: looked.append(1))
    for number in range(200):
        make_photo(photos / f"{number}.png", (number + 1, 0, 0))

    index_folders(library, runtime, [photos], load_files=load_in_this_process)

    assert len(looked) <= 5  # 200 x 700 bytes, out of 16 MB stored between two checks
