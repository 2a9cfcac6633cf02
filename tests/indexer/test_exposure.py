"""A photo's exposure, as read from its file."""

from __future__ import annotations

import io
import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pixsearch.pictures import open_header
from pixsearch_indexer.metadata.exposure import Exposure, exposure_of
from pixsearch_indexer.metadata.reader import read_exposure

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:FNumber="28/10" exif:ExposureTime="1/64"
exif:FocalLength="50">
<exif:ISOSpeedRatings><rdf:Seq><rdf:li>400</rdf:li></rdf:Seq></exif:ISOSpeedRatings></rdf:Description></rdf:RDF></x:xmpmeta>"""


def exposure_in(data: bytes) -> Exposure:
    return read_exposure(open_header(data), data)


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", **options)
    return file.getvalue()


def test_exposure_is_read_from_exif() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x829A: 1 / 256, 0x829D: 5.6, 0x8827: 1600, 0x920A: 105.0, 0xA405: 157})

    assert exposure_in(jpeg(exif=exif)) == Exposure(5.6, 1 / 256, 1600, 105.0, 157)


def test_exposure_is_read_from_xmp_where_exif_has_none() -> None:
    assert exposure_in(jpeg(xmp=XMP)) == Exposure(2.8, 1 / 64, 400, 50.0, None)


def test_a_photo_without_metadata_has_no_exposure() -> None:
    assert exposure_in(jpeg()) == Exposure()


@pytest.mark.parametrize(
    "unknown",
    [
        0,
        -1,
        float("nan"),
        float("inf"),
        "",
        "1/0",
        "0/0",
        "1e999999999",
        "9" * 5000,
        "9" * 5000 + "/1",
        (),
        b"\0",
        None,
    ],
)
def test_what_is_no_positive_number_is_not_known(unknown: object) -> None:
    names = ("FNumber", "ExposureTime", "ISOSpeedRatings", "FocalLength", "FocalLengthIn35mmFilm")

    assert exposure_of({f"EXIF {name}": unknown for name in names}) == Exposure()


VALUES = st.one_of(
    st.none(),
    st.floats(),
    st.integers(),
    st.text(),
    st.binary(),
    st.fractions(),
    st.from_regex(r"-?\d+/-?\d+"),
    st.lists(st.floats()),
)


@given(st.lists(VALUES, min_size=5, max_size=5))
def test_whatever_a_file_says_an_exposure_has_positive_numbers_alone(values: list[object]) -> None:
    names = ("FNumber", "ExposureTime", "ISOSpeedRatings", "FocalLength", "FocalLengthIn35mmFilm")
    found = astuple(exposure_of({f"EXIF {name}": value for name, value in zip(names, values, strict=True)}))

    assert all(value is None or 0 <= value < math.inf for value in found)


@pytest.mark.parametrize(("value", "expected"), [((200, 100), 200), (65535, None), ("64", 64)])
def test_the_first_sensitivity_counts_unless_it_stands_for_one_too_large(value: object, expected: int | None) -> None:
    assert exposure_of({"EXIF ISOSpeedRatings": value}).iso == expected
