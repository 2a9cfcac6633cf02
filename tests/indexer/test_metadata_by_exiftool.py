"""Photo metadata written and read by exiftool, an independent program."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixsearch.metadata import Metadata
from pixsearch.pictures import open_header
from pixsearch_indexer.metadata.reader import read_metadata
from tests.photos import picture_bytes
from tests.raw_photos import dng_bytes

pytestmark = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")

WRITTEN: dict[str, str | list[str]] = {
    "DateTimeOriginal": "2024:04:01 12:30:05",
    "OffsetTimeOriginal": "+09:00",
    "Make": "Canon",
    "Model": "Canon EOS R5",
    "LensModel": "RF24-70mm F2.8 L IS USM",
    "GPSLatitude": "-33.856784",
    "GPSLatitudeRef": "S",
    "GPSLongitude": "151.215297",
    "GPSLongitudeRef": "E",
    "Orientation#": "6",
    "XMP-dc:Title": "Opéra 桜",
    "XMP-dc:Description": "White sails by the water",
    "XMP-dc:Subject": ["sea", "white sails", "été"],
}


def tagged(folder: Path, format: str, tags: Mapping[str, str | list[str]]) -> Path:
    path = folder / f"photo.{format}"
    Image.new("RGB", (40, 30), "red").save(path)
    values = [(tag, value) for tag, found in tags.items() for value in (found if isinstance(found, list) else [found])]
    arguments = [f"-{tag}={value}" for tag, value in values]
    command = ["exiftool", "-q", "-overwrite_original", "-codedcharacterset=utf8", *arguments, str(path)]
    subprocess.run(command, check=True)
    return path


def by_exiftool(path: Path) -> dict[str, Any]:
    """Return exiftool's values, with numbers as numbers and sizes after rotation."""
    command = ["exiftool", "-json", "-n", "-charset", "iptc=utf8", str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
    return found


def by_us(path: Path) -> Metadata:
    return read_metadata(open_header(path))


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tif"])
def test_exif_and_xmp_are_what_exiftool_says_they_are(tmp_path: Path, format: str) -> None:
    path = tagged(tmp_path, format, WRITTEN)

    theirs, ours = by_exiftool(path), by_us(path)

    assert ours.taken_at is not None
    offset = theirs["OffsetTimeOriginal"].replace(":", "")
    assert ours.taken_at == datetime.strptime(theirs["DateTimeOriginal"] + offset, "%Y:%m:%d %H:%M:%S%z")
    assert ours.camera == theirs["Model"]
    assert ours.lens == theirs["LensModel"]
    assert ours.latitude == pytest.approx(theirs["GPSLatitude"], abs=1e-6)
    assert ours.longitude == pytest.approx(theirs["GPSLongitude"], abs=1e-6)
    assert (ours.height, ours.width) == (theirs["ImageWidth"], theirs["ImageHeight"])
    assert ours.title == theirs["Title"]
    assert ours.caption == theirs["Description"]
    assert list(ours.keywords) == theirs["Subject"]


def test_iptc_is_what_exiftool_says_it_is(tmp_path: Path) -> None:
    tags: dict[str, str | list[str]] = {
        "IPTC:ObjectName": "Café",
        "IPTC:Caption-Abstract": "Two cups",
        "IPTC:Keywords": ["coffee", "café"],
    }
    path = tagged(tmp_path, "jpg", tags)

    theirs, ours = by_exiftool(path), by_us(path)

    assert ours.title == theirs["ObjectName"]
    assert ours.caption == theirs["Caption-Abstract"]
    assert list(ours.keywords) == theirs["Keywords"]


@pytest.mark.parametrize(("latitude", "longitude"), [(0.0, 6.5), (89.999, -179.999), (-0.5, -0.25), (51.5, 10.0)])
def test_places_on_all_sides_of_the_globe_are_right(tmp_path: Path, latitude: float, longitude: float) -> None:
    position = {
        "GPSLatitude": str(abs(latitude)),
        "GPSLatitudeRef": "S" if latitude < 0 else "N",
        "GPSLongitude": str(abs(longitude)),
        "GPSLongitudeRef": "W" if longitude < 0 else "E",
    }

    ours = by_us(tagged(tmp_path, "jpg", position))

    assert ours.latitude == pytest.approx(latitude, abs=1e-6)
    assert ours.longitude == pytest.approx(longitude, abs=1e-6)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_raw_file_says_what_exiftool_says(tmp_path: Path, orientation: int) -> None:
    pytest.importorskip("rawpy")
    path = tmp_path / "photo.dng"
    path.write_bytes(dng_bytes(picture_bytes("red", "JPEG", (160, 120)), orientation=orientation))

    theirs, ours = by_exiftool(path), by_us(path)

    assert ours.taken_at is not None
    assert ours.taken_at == datetime.strptime(theirs["SubSecDateTimeOriginal"], "%Y:%m:%d %H:%M:%S%z")
    assert ours.camera == f"{theirs['Make']} {theirs['Model']}"
    assert ours.lens == theirs["LensModel"]
    assert (ours.latitude, ours.longitude) == pytest.approx((theirs["GPSLatitude"], theirs["GPSLongitude"]), abs=1e-6)
    size = theirs["ImageWidth"], theirs["ImageHeight"]
    assert (ours.width, ours.height) == (size if theirs["Orientation"] in (1, 3) else size[::-1])
    assert ours.title == theirs["Title"]


def test_a_photo_without_any_of_it_has_none_of_it(tmp_path: Path) -> None:
    assert by_us(tagged(tmp_path, "jpg", {"Comment": "none"})) == Metadata("JPEG", 40, 30)
