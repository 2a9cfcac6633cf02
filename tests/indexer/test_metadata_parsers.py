"""No input makes a metadata reader raise an error or take more than linear time."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pixsearch.avif_boxes import avif_facts
from pixsearch.boxes import boxes
from pixsearch.pictures import open_header
from pixsearch.storage import FileStamp, stamp_of
from pixsearch_indexer.metadata.dates import read_date, read_gps_time, read_timestamp
from pixsearch_indexer.metadata.exif import exif_of_bytes, read_exif
from pixsearch_indexer.metadata.file_names import date_in_name
from pixsearch_indexer.metadata.gps import read_gps
from pixsearch_indexer.metadata.iptc import photoshop_resources, read_iptc
from pixsearch_indexer.metadata.jpeg import XMP_HEAD, xmp_packets
from pixsearch_indexer.metadata.png import SIGNATURE, read_png
from pixsearch_indexer.metadata.precedence import description_of
from pixsearch_indexer.metadata.reader import read_described, read_metadata
from pixsearch_indexer.metadata.sidecars import Sidecar, Sidecars, sidecars_of_stamp, sidecars_stamp
from pixsearch_indexer.metadata.takeout import read_takeout
from pixsearch_indexer.metadata.words import clean_text
from pixsearch_indexer.metadata.xmp import read_xmp

RDF = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description>'
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">%s</rdf:Description></rdf:RDF></x:xmpmeta>'
)
TITLE = PACKET % "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Hafen – Größe</rdf:li></rdf:Alt></dc:title>"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FACTS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "EXIF DateTimeOriginal",
                "EXIF GPSLatitude",
                "EXIF GPSLongitude",
                "EXIF GPSTimeStamp",
                "EXIF GPSDateStamp",
            ),
            *(
                "dc:title",
                "dc:subject",
                "xmp:Rating",
                "EXIF Rating",
                "EXIF XPKeywords",
                "digiKam:TagsList",
                "EXIF Make",
            ),
            *("EXIF Model", "IPTC DateCreated", "IPTC TimeCreated", "photoshop:City", "people", "PNG creation time"),
        ]
    ),
    st.text() | st.integers() | st.floats() | st.lists(st.text()) | st.tuples(st.floats(), st.integers()) | st.none(),
)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_no_trap(data: bytes) -> None:
    read_xmp(data)
    xmp_packets(b"\xff\xd8\xff\xe1" + data)
    read_xmp(RDF + data)
    read_iptc(b"\x1c\x02\x05" + data)
    photoshop_resources(b"8BIM" + data)
    read_png(SIGNATURE + data)
    read_takeout(data)
    read_exif(exif_of_bytes(b"Exif\0\0II*\0\x08\0\0\0" + data))
    list(boxes(data))
    avif_facts(b"\0\0\0\x20ftypavif" + data)


@given(JSON, JSON)
def test_json_of_any_kind_is_no_trap(first: object, second: object) -> None:
    read_takeout(json.dumps({"photoTakenTime": first, "geoData": second, "people": second}).encode())


@given(FACTS)
def test_facts_of_any_kind_are_no_trap(facts: dict[str, object]) -> None:
    description = description_of(facts)

    assert (description.latitude is None) == (description.longitude is None)
    assert description.latitude is None or (abs(description.latitude) <= 90 and abs(description.longitude or 0) <= 180)
    assert (description.taken_at is None) == (description.date_kind is None)
    assert description.rating is None or description.rating in (-1, 1, 2, 3, 4, 5)
    for text in (
        description.title,
        description.caption,
        description.camera,
        *description.keywords,
        *description.people,
    ):
        assert text is None or (text and "\0" not in text and "\n" not in text)


@given(st.text(max_size=100), st.text(max_size=10))
def test_text_of_any_kind_is_no_trap(text: str, other: str) -> None:
    read_date(text, other)
    read_gps_time(text, other)
    read_timestamp(text)
    read_gps(text, other, text, other)
    date_in_name(text)
    assert (clean_text(text) or "").encode() is not None


@given(st.datetimes(min_value=datetime(1000, 1, 1)), st.sampled_from(":-/. "), st.sampled_from("T ,"))
def test_a_date_is_read_however_its_parts_are_held_apart(time: datetime, between: str, before_time: str) -> None:
    time = time.replace(microsecond=0)
    written = f"{time.year:04}{between}{time.month:02}{between}{time.day:02}{before_time}{time:%H:%M:%S}"

    assert read_date(written) == time
    assert read_date(written + ".25+02:00") == time.replace(tzinfo=timezone(timedelta(hours=2)))
    assert read_date(written + "Z") == time.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2019:05:04 10:11", datetime(2019, 5, 4, 10, 11)),
        ("2019: 5: 4 10:11:12", datetime(2019, 5, 4, 10, 11, 12)),
        ("20190504", datetime(2019, 5, 4)),
        ("20190504T101112Z", datetime(2019, 5, 4, 10, 11, 12, tzinfo=UTC)),
        ("1967", datetime(1967, 1, 1)),
        ("1967-08", datetime(1967, 8, 1)),
        ("Sat, 04 May 2019 10:11:12 GMT", datetime(2019, 5, 4, 10, 11, 12, tzinfo=UTC)),
        ("Sat May  4 10:11:12 2019", datetime(2019, 5, 4, 10, 11, 12)),
        ("2019/05/04 02:11:12 PM", datetime(2019, 5, 4, 14, 11, 12)),
        ("2019:05:04   :  :  ", datetime(2019, 5, 4)),
        ("2019:05:04 10:11:60", datetime(2019, 5, 4, 10, 11, 59)),
        ("2019:05:04 10-11-12", datetime(2019, 5, 4, 10, 11, 12)),
        ("2019-05-04T10:11-05:00", datetime(2019, 5, 4, 10, 11, tzinfo=timezone(timedelta(hours=-5)))),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2019:00:00 00:00:00", None),
        ("2019:13:45 10:11:12", None),
        ("0001-01-01T00:00:00", None),
        ("yesterday", None),
    ],
)
def test_dates_as_programs_write_them(written: str, expected: datetime | None) -> None:
    found = read_date(written)

    assert found == expected
    assert found is None or found.tzinfo == (expected and expected.tzinfo)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG-20210101-WA0001.jpg", datetime(2021, 1, 1)),
        ("PXL_20210101_101112345.jpg", datetime(2021, 1, 1, 10, 11, 12)),
        ("VID_20210101_101112.jpg", datetime(2021, 1, 1, 10, 11, 12)),
        ("Screenshot_2021-01-02-10-11-12-123_com.app.png", datetime(2021, 1, 2, 10, 11, 12)),
        ("Screenshot 2021-01-02 at 10.11.12.png", datetime(2021, 1, 2, 10, 11, 12)),
        ("WhatsApp Image 2021-01-03 at 10.11.12 (1).jpeg", datetime(2021, 1, 3, 10, 11, 12)),
        ("signal-2021-01-05-101112.jpg", datetime(2021, 1, 5, 10, 11, 12)),
        ("2021.01.05 beach.jpg", datetime(2021, 1, 5)),
        ("Screen Shot 2021-01-02 at 1.02.03 PM.png", datetime(2021, 1, 2, 13, 2, 3)),
        ("Screenshot 2021-01-02 at 12.02.03\u202fAM.png", datetime(2021, 1, 2, 0, 2, 3)),
        ("WhatsApp Image 2021-01-03 at 10.11.12 PMG.jpeg", datetime(2021, 1, 3, 10, 11, 12)),
        ("20211345.jpg", None),
        ("IMG_20210230.jpg", None),
        ("1612345678901.jpg", None),
        ("DSC_20210.jpg", None),
        ("120210101.jpg", None),
    ],
)
def test_dates_in_names_as_phones_write_them(name: str, expected: datetime | None) -> None:
    assert date_in_name(name) == expected


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        ("48,51.396S", "2,21.132W"),
        ("48,51,23.76South", "2,21,7.92West"),
        ("S48.8566", "w 2.3522"),
        ("-48.8566", "-2.3522"),
        ("48 deg 51' 23.76\" S", "2 deg 21' 7.92\" W"),
        ("48/1,51/1,2376/100S", "2/1,21/1,792/100W"),
    ],
)
def test_a_place_is_read_however_it_is_written(latitude: str, longitude: str) -> None:
    assert read_gps(latitude, None, longitude, None) == pytest.approx((-48.8566, -2.3522), abs=1e-5)


@pytest.mark.parametrize("written", ["48/0", "4851.396N", "north", "1e5", "91"])
def test_what_is_no_degree_is_no_place(written: str) -> None:
    assert read_gps(written, None, "2", None) is None


@pytest.mark.parametrize(
    ("maker", "model", "camera"),
    [
        ("EASTMAN KODAK COMPANY", "KODAK DC240", "KODAK DC240"),
        ("LG Electronics", "LG-H815", "LG-H815"),
        ("HP", "HPhotosmart", "HP HPhotosmart"),
        ("SONY", "ILCE-7", "SONY ILCE-7"),
        ("", "X100", "X100"),
        ("***", "***", "*** ***"),
    ],
)
def test_a_camera_names_its_maker_once(maker: str, model: str, camera: str) -> None:
    assert description_of({"EXIF Make": maker, "EXIF Model": model}).camera == camera


def test_a_keyword_in_two_of_unicode_s_forms_is_one_keyword() -> None:
    assert description_of({"dc:subject": ["café"], "IPTC Keywords": ["cafe\u0301", "sea"]}).keywords == ("café", "sea")


def test_texts_of_a_png_are_known_by_their_keyword_in_any_case() -> None:
    buffer = io.BytesIO()
    texts = PngInfo()
    for keyword, text in (("title", "Harbour"), ("COMMENT", "At dawn"), ("creation time", "2019-05-04 10:11:12")):
        texts.add_text(keyword, text)
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=texts)

    metadata = read_metadata(open_header(buffer.getvalue()))

    found = metadata.title, metadata.caption, metadata.taken_at
    assert found == ("Harbour", "At dawn", datetime(2019, 5, 4, 10, 11, 12))


def test_a_date_of_zero_seconds_is_what_takeout_writes_for_none(tmp_path: Path) -> None:
    def taken_at(timestamp: str) -> datetime | None:
        file = tmp_path / "a.jpg.json"
        file.write_text(json.dumps({"photoTakenTime": {"timestamp": timestamp}, "description": "Harbour"}))
        description = read_described(b"/photos/a.jpg", [Sidecar(os.fsencode(file), stamp_of(file))])
        return description["takeout"].taken_at

    assert taken_at("0") is None
    assert taken_at("-86400") == datetime(1969, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_packet_is_read_in_every_encoding(encoding: str) -> None:
    assert read_xmp(TITLE.encode(encoding)) == {"dc:title": ["Hafen – Größe"]}


def test_a_byte_that_is_not_utf_8_is_one_of_windows_code_page() -> None:
    assert read_xmp(TITLE.encode("cp1252")) == {"dc:title": ["Hafen – Größe"]}


def test_what_stands_before_a_packet_does_not_hide_it() -> None:
    assert read_xmp(b"\n rubbish > " + TITLE.encode()) == {"dc:title": ["Hafen – Größe"]}


def test_the_items_of_a_list_may_be_numbered() -> None:
    items = "<dc:subject><rdf:Bag><rdf:_1>sea</rdf:_1><rdf:_2>boats</rdf:_2></rdf:Bag></dc:subject>"

    assert read_xmp((PACKET % items).encode()) == {"dc:subject": ["sea", "boats"]}


def xmp_segment(head: bytes, packet: bytes) -> bytes:
    body = head + packet
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def jpeg_with(*segments: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG")
    return buffer.getvalue()[:2] + b"".join(segments) + buffer.getvalue()[2:]


def test_a_packet_that_goes_on_in_other_segments_is_read_to_its_end() -> None:
    guid = b"0123456789ABCDEF0123456789ABCDEF"
    main = PACKET.replace(
        "%s", f'<xmpNote:HasExtendedXMP xmlns:xmpNote="http://ns.adobe.com/xmp/note/">{guid.decode()}'
    )
    packet = TITLE.encode()
    parts = [
        xmp_segment(
            b"http://ns.adobe.com/xmp/extension/\0",
            guid + len(packet).to_bytes(4, "big") + at.to_bytes(4, "big") + packet[at : at + 100],
        )
        for at in range(0, len(packet), 100)
    ]

    photo = jpeg_with(xmp_segment(XMP_HEAD, main.encode()), *reversed(parts))
    other = jpeg_with(xmp_segment(XMP_HEAD, PACKET.encode()), *parts)

    assert read_metadata(open_header(photo)).title == "Hafen – Größe"
    # Parts left from an older version, with nothing that refers to them.
    assert read_metadata(open_header(other)).title is None


def test_of_two_packets_in_a_jpeg_neither_is_lost() -> None:
    keyword = PACKET % "<dc:subject>sea</dc:subject>"
    photo = jpeg_with(xmp_segment(XMP_HEAD, TITLE.encode()), xmp_segment(XMP_HEAD, keyword.encode()))

    metadata = read_metadata(open_header(photo))

    assert (metadata.title, metadata.keywords) == ("Hafen – Größe", ("sea",))


def test_what_a_picture_was_made_from_says_nothing_about_it() -> None:
    inner = "<rdf:Description><dc:title>The logo</dc:title></rdf:Description>"
    packet = PACKET % (
        f'<xmpMM:Pantry xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"><rdf:Bag><rdf:li>{inner}</rdf:li></rdf:Bag>'
        "</xmpMM:Pantry><dc:title>Harbour</dc:title>"
    )

    assert (read_xmp(packet.encode()) or {})["dc:title"] == ["Harbour"]


@pytest.mark.parametrize(
    "region",
    [
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li mwg-rs:Name="Ann"'
        ' mwg-rs:Type="Face"/><rdf:li mwg-rs:Name="Rex" mwg-rs:Type="Pet"/></rdf:Bag></mwg-rs:RegionList>'
        "</mwg-rs:Regions>",
        "<mwg-rs:Regions><rdf:Description><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description><mwg-rs:Name>Ann"
        "</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type></rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList>"
        "</rdf:Description></mwg-rs:Regions>",
        '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag><rdf:li MPReg:PersonDisplayName="Ann"/>'
        "</rdf:Bag></MPRI:Regions></MP:RegionInfo>",
        "<Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ann</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage>",
        "<digiKam:TagsList><rdf:Seq><rdf:li>People/Ann</rdf:li><rdf:li>Places/Rome</rdf:li></rdf:Seq></digiKam:TagsList>",
    ],
)
def test_people_are_those_whom_a_program_named(region: str) -> None:
    facts: dict[str, object] = dict(read_xmp((PACKET % region).encode()) or {})

    assert description_of(facts).people == ("Ann",)


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        ("IMG_1.jpg", "IMG_1.jpg.xmp"),
        ("IMG_1.CR2", "IMG_1.xmp"),
        ("IMG_1.JPG", "img_1.jpg.XMP"),
        ("IMG_1.jpg", "IMG_1.jpg.json"),
        ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
        ("IMG_1.jpg", "IMG_1.jpg.suppl.json"),
        ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
        ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
        ("IMG_1-edited.jpg", "IMG_1.jpg.json"),
        ("IMG_1-bearbeitet(1).jpg", "IMG_1.jpg(1).json"),
        ("IMG_1(1)-edited.jpg", "IMG_1.jpg(1).json"),
        ("IMG_1-edited.jpg", "IMG_1.HEIC.supplemental-metadata.json"),
        ("a name of forty-two characters, before it-edit.jpg", "a name of forty-two characters, before it.jpg.json"),
        ("ü very long name of a photo that was cut by Goo.jpg", "ü very long name of a photo that was cut by Go.json"),
        ("ü very long name of a photo that was cut by Goo.jpg", "ü very long name of a photo that was cut by G.json"),
        ("Müller.jpg", "Mu\u0308ller.xmp"),
        ("cafe\u0301.jpg", "café.jpg.json"),
        ("a very long name of a photo that was cut by Goo.jpg", "a very long name of a photo that was cut by Go.json"),
    ],
)
def test_a_sidecar_belongs_to_its_photo_and_to_no_other(photo: str, sidecar: str) -> None:
    file = Sidecar(os.fsencode(f"/photos/{sidecar}"), FileStamp(10, 20))
    beside = Sidecars([file])

    assert beside.of(os.fsencode(photo)) == (file,)
    assert beside.of(b"IMG_2.jpg") == ()
    assert sidecars_of_stamp(os.fsencode(f"/photos/{photo}"), sidecars_stamp((file,))) == (file,)


HOSTILE: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "nested people": (read_xmp, RDF + b"<mwg-rs:Regions><rdf:li>"),
    "nested values": (read_xmp, RDF + b"<a:b><rdf:value>"),
    "attributes": (read_xmp, b'<x y="'),
    "ampersands": (read_xmp, b"&"),
    "IIM": (read_iptc, b"\x1c\x02\x19\0\0"),
    "JPEG": (lambda data: xmp_packets(b"\xff\xd8" + data), b"\xff\xe1\0\x02"),
    "PNG": (lambda data: read_png(SIGNATURE + data), b"\0\0\0\0tEXt\0\0\0\0"),
    "JSON": (read_takeout, b'{"a":['),
    "boxes": (lambda data: list(boxes(data)), b"\0\0\0\x08free"),
}


@pytest.mark.parametrize(("read", "unit"), HOSTILE.values(), ids=HOSTILE)
def test_the_time_grows_no_faster_than_the_file(read: Callable[[bytes], object], unit: bytes) -> None:
    def least_time_s(count: int) -> float:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            read(unit * count)
            times.append(time.perf_counter() - began)
        return min(times)

    least_time_s(100)
    # Ten times as much data. Quadratic time would be a hundred times as long.
    assert least_time_s(50_000) < 30 * least_time_s(5_000) + 0.05
