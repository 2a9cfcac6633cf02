from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

import pytest
from PIL import ExifTags, Image

from pixsearch.metadata import Metadata
from pixsearch.pictures import open_header
from pixsearch_indexer.metadata.reader import read_metadata

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">桜</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">Blossoms by the river</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def metadata_of(exif: Image.Exif | None = None, format: str = "JPEG", **options: object) -> Metadata:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, format, exif=exif or Image.Exif(), **options)
    return read_metadata(open_header(buffer.getvalue()))


def exif_with(values: Mapping[int, object], details: Mapping[int, object] | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif.update(values)
    exif.get_ifd(ExifTags.IFD.Exif).update(details or {})
    return exif


def test_a_picture_without_metadata_has_its_format_and_size() -> None:
    assert metadata_of() == Metadata("JPEG", 40, 30)


def test_width_and_height_are_those_of_the_upright_picture() -> None:
    metadata = metadata_of(exif_with({ExifTags.Base.Orientation: 6}))

    assert (metadata.width, metadata.height) == (30, 40)


def test_the_time_is_that_of_the_shot_with_a_zone_only_where_one_is_named() -> None:
    shot: dict[int, object] = {ExifTags.Base.DateTimeOriginal: "2024:04:01 12:30:00"}
    in_japan: dict[int, object] = {**shot, ExifTags.Base.OffsetTimeOriginal: "+09:00"}
    edited: dict[int, object] = {ExifTags.Base.DateTime: "2025:01:01 00:00:00"}

    assert metadata_of(exif_with(edited, shot)).taken_at == datetime(2024, 4, 1, 12, 30)
    assert metadata_of(exif_with(edited, in_japan)).taken_at == datetime(
        2024, 4, 1, 12, 30, tzinfo=timezone(timedelta(hours=9))
    )
    assert metadata_of(exif_with(edited)).taken_at == datetime(2025, 1, 1)


@pytest.mark.parametrize("time", ["0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", ""])
def test_a_time_that_is_none_is_left_out(time: str) -> None:
    assert metadata_of(exif_with({ExifTags.Base.DateTime: time})).taken_at is None


def test_the_camera_is_maker_and_model_with_the_maker_once() -> None:
    def camera(maker: str, model: str) -> str | None:
        return metadata_of(exif_with({ExifTags.Base.Make: maker, ExifTags.Base.Model: model})).camera

    assert camera("Apple", "iPhone 15") == "Apple iPhone 15"
    assert camera("Canon", "Canon EOS R5\0\0") == "Canon EOS R5"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_title_and_caption_come_from_xmp(format: str) -> None:
    if format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        metadata = metadata_of(format=format, pnginfo=info)
    elif format == "TIFF":
        metadata = metadata_of(format=format, tiffinfo={700: XMP.encode()})
    else:
        metadata = metadata_of(format=format, xmp=XMP.encode())

    assert (metadata.title, metadata.caption) == ("桜", "Blossoms by the river")


def test_title_and_caption_come_from_iptc() -> None:
    def record(number: int, text: bytes) -> bytes:
        return b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text

    iptc = record(5, "Café".encode()) + record(120, b"Two cups\r\non a table")
    resource = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    app13 = b"\xff\xed" + (len(resource) + 2).to_bytes(2, "big") + resource

    metadata = metadata_of(extra=app13)

    assert (metadata.title, metadata.caption) == ("Café", "Two cups on a table")


def test_a_caption_comes_from_exif_unless_a_camera_wrote_it() -> None:
    def caption(text: str) -> str | None:
        return metadata_of(exif_with({ExifTags.Base.ImageDescription: text})).caption

    assert caption("Grandma's garden") == "Grandma's garden"
    assert caption("OLYMPUS DIGITAL CAMERA         ") is None
    assert caption("DSC_0042") is None


def test_damaged_metadata_is_left_out() -> None:
    assert metadata_of(xmp=b"<x:xmpmeta") == Metadata("JPEG", 40, 30)
    assert metadata_of(
        extra=b"\xff\xed\x00\x22Photoshop 3.0\x008BIM\x04\x04\x00\x00\xff\xff\xff\xff" + bytes(8)
    ) == Metadata("JPEG", 40, 30)
