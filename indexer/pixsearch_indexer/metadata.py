"""What a picture file says about its picture: EXIF, XMP and IPTC."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from xml.etree import ElementTree

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from pixsearch.library.records import Metadata
from pixsearch.pictures import METADATA_ERRORS, exif_of, orientation_of

_SIDEWAYS = (5, 6, 7, 8)
_WINDOWS_TITLE = 0x9C9B
_IPTC_TITLE, _IPTC_KEYWORDS, _IPTC_CAPTION = (2, 5), (2, 25), (2, 120)
_XMP_TEXT = "{http://purl.org/dc/elements/1.1/}%s//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"

# What cameras write where a caption belongs.
_NO_CAPTION = re.compile(r"OLYMPUS DIGITAL CAMERA|SONY DSC|DIGITAL CAMERA|Exif_JPEG_PICTURE|DCIM.*|(DSC|IMG)[_-]?\d+")


def read_metadata(picture: Image.Image) -> Metadata:
    """The metadata of a picture that `open_header` opened and that is not decoded yet. What is damaged is left out."""
    exif = exif_of(picture)
    details, gps = (_ifd(exif, ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
    xmp = _xmp(picture)
    iptc = _iptc(picture)
    width, height = picture.size
    if orientation_of(picture) in _SIDEWAYS:
        width, height = height, width
    return Metadata(
        format=picture.format or "",
        width=width,
        height=height,
        taken_at=_taken_at(exif, details),
        camera=_camera(exif),
        lens=_text(details.get(ExifTags.Base.LensModel)),
        latitude=_degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "S", 90),
        longitude=_degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "W", 180),
        title=_first(*xmp["title"], iptc.get(_IPTC_TITLE), _utf16(exif.get(_WINDOWS_TITLE))),
        caption=_first(*xmp["description"], iptc.get(_IPTC_CAPTION), exif.get(ExifTags.Base.ImageDescription)),
        keywords=_keywords(*xmp["subject"], *_listed(iptc.get(_IPTC_KEYWORDS))),
    )


def _ifd(exif: Image.Exif, which: ExifTags.IFD) -> Mapping[int, object]:
    try:
        return exif.get_ifd(which)
    except METADATA_ERRORS:
        return {}


def _degrees(gps: Mapping[int, object], tag: int, reference: int, negative: str, most: int) -> float | None:
    """Degrees, minutes and seconds as one number (EXIF 2.32, 4.6.6); None where there are none."""
    try:
        degrees, minutes, seconds = (float(part) for part in _listed(gps.get(tag)))  # type: ignore[arg-type]
    except (ValueError, TypeError, ZeroDivisionError):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    if not value <= most:  # NaN neither
        return None
    return -value if _text(gps.get(reference)) == negative else value


def _keywords(*values: object) -> tuple[str, ...]:
    """Each once, in their order."""
    return tuple(dict.fromkeys(text for value in values if (text := _text(value))))


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else () if value is None else (value,)


def _taken_at(exif: Image.Exif, details: Mapping[int, object]) -> datetime | None:
    time = _text(details.get(ExifTags.Base.DateTimeOriginal)) or _text(exif.get(ExifTags.Base.DateTime))
    zone = _text(details.get(ExifTags.Base.OffsetTimeOriginal)) or ""
    for text, pattern in ((f"{time}{zone}", "%Y:%m:%d %H:%M:%S%z"), (f"{time}", "%Y:%m:%d %H:%M:%S")):
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    return None


def _camera(exif: Image.Exif) -> str | None:
    """Maker and model, the maker once."""
    maker, model = _text(exif.get(ExifTags.Base.Make)), _text(exif.get(ExifTags.Base.Model))
    if maker and model and model.lower().startswith(maker.lower()):
        return model
    return " ".join(filter(None, (maker, model))) or None


def _xmp(picture: Image.Image) -> Mapping[str, Sequence[object]]:
    """Title, description and subject of the Dublin Core. Not Image.getxmp, which needs a further package."""
    packet = picture.info.get("xmp")
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \n") if isinstance(packet, bytes) else "")
    except ElementTree.ParseError:
        root = ElementTree.Element("none")
    return {
        name: [found.text for found in root.findall(f".//{_XMP_TEXT % name}")]
        for name in ("title", "description", "subject")
    }


def _iptc(picture: Image.Image) -> Mapping[tuple[int, int], object]:
    if not isinstance(picture, ImageFile.ImageFile):
        return {}
    try:
        return IptcImagePlugin.getiptcinfo(picture) or {}
    except METADATA_ERRORS:
        return {}


def _first(*values: object) -> str | None:
    """The first that says something."""
    for value in values:
        text = _text(value)
        if text and not _NO_CAPTION.fullmatch(text):
            return text
    return None


def _text(value: object) -> str | None:
    """One line of text; None where there is none."""
    if isinstance(value, str):
        with suppress(UnicodeEncodeError):  # not from EXIF then, and right as it is
            value = value.encode("latin-1")  # as which Pillow reads EXIF, where most programs write UTF-8
    if isinstance(value, bytes):
        value = _decoded(value)
    if not isinstance(value, str):
        return None
    return " ".join(value.replace("\0", " ").split()) or None


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _utf16(value: object) -> str | None:
    return value.decode("utf-16-le", errors="replace") if isinstance(value, bytes) else None
