"""500 photos with random but valid metadata written by exiftool, compared with what exiftool reads back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixsearch.pictures import open_header
from pixsearch_indexer.metadata.reader import read_metadata

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed"),
]

# Each starts with a letter, because exiftool's JSON does not quote strings that look like numbers.
WORDS = st.text("abcdefgh ÄÖßéñ桜日本&<>'-0123", max_size=30).map(lambda text: f"w{text}".strip())
LISTS = st.lists(WORDS.filter(lambda text: "  " not in text), min_size=1, max_size=4, unique=True)
TIMES = st.datetimes().filter(lambda time: time.year >= 1900).map(lambda time: f"{time:%Y:%m:%d %H:%M:%S}")
PLACES = st.tuples(st.floats(-89, 89), st.floats(-179, 179)).filter(lambda place: abs(place[0]) > 0.001)

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "ExifIFD:DateTimeOriginal": TIMES,
    "XMP-exif:DateTimeOriginal": TIMES,
    "XMP-photoshop:DateCreated": TIMES,
    "ExifIFD:CreateDate": TIMES,
    "XMP-xmp:CreateDate": TIMES,
    "IFD0:ModifyDate": TIMES,
    "IFD0:Make": st.sampled_from(["Canon", "NIKON CORPORATION", "SONY", "OLYMPUS IMAGING CORP."]),
    "IFD0:Model": st.sampled_from(["Canon EOS R5", "NIKON D750", "ILCE-7M3", "E-M10"]),
    "ExifIFD:LensModel": st.sampled_from(["RF24-70mm F2.8 L IS USM", "50mm f/1.8"]),
    "GPS": PLACES,
    "XMP-exif:GPS": PLACES,
    "XMP-dc:Title": WORDS,
    "IPTC:ObjectName": WORDS,
    "XMP-dc:Description": WORDS,
    "IPTC:Caption-Abstract": WORDS,
    "IFD0:ImageDescription": WORDS,
    "XMP-dc:Subject": LISTS,
    "IPTC:Keywords": LISTS,
    "XMP-iptcExt:PersonInImage": LISTS,
    "XMP-xmp:Rating": st.integers(1, 5),
    "XMP-photoshop:City": WORDS,
    "XMP-photoshop:Country": WORDS,
}
FIRST = {
    "taken_at": (
        "ExifIFD:DateTimeOriginal",
        "XMP-exif:DateTimeOriginal",
        "XMP-photoshop:DateCreated",
        "ExifIFD:CreateDate",
        "XMP-xmp:CreateDate",
        "IFD0:ModifyDate",
    ),
    "title": ("XMP-dc:Title", "IPTC:ObjectName"),
    "caption": ("XMP-dc:Description", "IPTC:Caption-Abstract", "IFD0:ImageDescription"),
    "lens": ("ExifIFD:LensModel",),
    "rating": ("XMP-xmp:Rating",),
}
"""The order of sources, as in docs/guide.md."""


class ExifTool:
    """One exiftool process for all photos, because starting one takes longer than its work."""

    def __init__(self) -> None:
        command = ["exiftool", "-stay_open", "True", "-@", "-"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def run(self, *arguments: str) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n".join([*arguments, "-execute\n"]).encode())
        self._process.stdin.flush()
        lines = []
        while (line := self._process.stdout.readline()) not in (b"{ready}\n", b""):
            lines.append(line)
        return b"".join(lines)

    def close(self) -> None:
        self._process.communicate(b"-stay_open\nFalse\n")


@contextmanager
def exiftool() -> Iterator[ExifTool]:
    process = ExifTool()
    try:
        yield process
    finally:
        process.close()


def arguments_of(fields: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in fields.items():
        if name.endswith("GPS"):
            prefix = name if name == "GPS" else "XMP-exif"
            latitude, longitude = value
            signed = prefix == "XMP-exif"
            arguments += [
                f"-{prefix}:GPSLatitude={latitude if signed else abs(latitude):.6f}",
                f"-{prefix}:GPSLongitude={longitude if signed else abs(longitude):.6f}",
            ]
            if not signed:
                arguments += [f"-GPS:GPSLatitudeRef={'S' if latitude < 0 else 'N'}"]
                arguments += [f"-GPS:GPSLongitudeRef={'W' if longitude < 0 else 'E'}"]
        else:
            arguments += [f"-{name}={one}" for one in (value if isinstance(value, list) else [value])]
    return arguments


def listed(value: object) -> Sequence[str]:
    return [str(one) for one in value] if isinstance(value, list) else [] if value is None else [str(value)]


def one_line(text: object) -> str:
    return " ".join(str(text).split())


def test_random_photos_say_what_exiftool_says_they_say(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jpg"
    Image.new("RGB", (16, 12), "red").save(plain)
    photo = tmp_path / "photo.jpg"

    with exiftool() as tool:

        @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.fixed_dictionaries({}, optional=FIELDS))
        def compare(fields: dict[str, Any]) -> None:
            shutil.copy(plain, photo)
            utf8 = ["-charset", "iptc=utf8", "-codedcharacterset=utf8"]
            tool.run("-overwrite_original", "-n", "-m", *utf8, *arguments_of(fields), str(photo))
            theirs = json.loads(tool.run("-json", "-G1", "-n", "-charset", "iptc=utf8", str(photo)))[0]
            ours = read_metadata(open_header(photo))

            for name, sources in FIRST.items():
                expected = next((theirs[source] for source in sources if source in theirs), None)
                found = getattr(ours, name)
                if name == "taken_at" and found is not None:
                    found = f"{found.year:04}:{found:%m:%d %H:%M:%S}"
                assert (found and one_line(found)) == (expected and one_line(expected)), name
            place = theirs.get("GPS:GPSLatitude"), theirs.get("GPS:GPSLongitude")
            if place != (None, None):
                south, west = theirs.get("GPS:GPSLatitudeRef"), theirs.get("GPS:GPSLongitudeRef")
                place = place[0] * (-1 if south == "S" else 1), place[1] * (-1 if west == "W" else 1)
            else:
                place = theirs.get("XMP-exif:GPSLatitude"), theirs.get("XMP-exif:GPSLongitude")
            if place == (0, 0):
                place = None, None
            assert (ours.latitude, ours.longitude) == (place if place[0] is None else pytest.approx(place, abs=1e-5))
            assert set(ours.keywords) == {
                one_line(word) for source in ("XMP-dc:Subject", "IPTC:Keywords") for word in listed(theirs.get(source))
            }
            assert list(ours.people) == [one_line(name) for name in listed(theirs.get("XMP-iptcExt:PersonInImage"))]
            places = [theirs.get("XMP-photoshop:City"), theirs.get("XMP-photoshop:Country")]
            named = list(dict.fromkeys(one_line(place) for place in places if place is not None))
            assert ours.location == (", ".join(named) or None)
            maker, model = theirs.get("IFD0:Make"), theirs.get("IFD0:Model")
            if maker and model and model.lower().startswith(maker.split()[0].lower()):
                maker = None
            assert ours.camera == (" ".join(filter(None, (maker, model))) or None)

        compare()
