"""What a picture file says about its picture: EXIF, XMP and IPTC."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from xml.etree import ElementTree

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from pixsearch.library.records import Metadata
from pixsearch.pictures import METADATA_ERRORS, exif_of

_SIDEWAYS = (5, 6, 7, 8)
_WINDOWS_TITLE = 0x9C9B
_IPTC_TITLE, _IPTC_CAPTION = (2, 5), (2, 120)
_XMP_TEXT = "{http://purl.org/dc/elements/1.1/}%s//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"

# What cameras write where a caption belongs.
_NO_CAPTION = re.compile(r"OLYMPUS DIGITAL CAMERA|SONY DSC|DIGITAL CAMERA|Exif_JPEG_PICTURE|DCIM.*|(DSC|IMG)[_-]?\d+")


def read_metadata(picture: Image.Image) -> Metadata:
    """The metadata of a picture that `open_header` opened and that is not decoded yet. What is damaged is left out."""
    exif = exif_of(picture)
    xmp = _xmp(picture)
    iptc = _iptc(picture)
    width, height = picture.size
    if exif.get(ExifTags.Base.Orientation) in _SIDEWAYS:
        width, height = height, width
    return Metadata(
        format=picture.format or "",
        width=width,
        height=height,
        taken_at=_taken_at(exif),
        camera=_camera(exif),
        title=_first(xmp.get("title"), iptc.get(_IPTC_TITLE), _utf16(exif.get(_WINDOWS_TITLE))),
        caption=_first(xmp.get("description"), iptc.get(_IPTC_CAPTION), exif.get(ExifTags.Base.ImageDescription)),
    )


def _taken_at(exif: Image.Exif) -> datetime | None:
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
    except METADATA_ERRORS:
        details = {}
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


def _xmp(picture: Image.Image) -> Mapping[str, object]:
    """Title and description of the Dublin Core. Not Image.getxmp, which needs a further package."""
    packet = picture.info.get("xmp")
    if not isinstance(packet, bytes):
        return {}
    try:
        root = ElementTree.fromstring(packet.strip(b"\0"))
    except ElementTree.ParseError:
        return {}
    return {name: root.findtext(f".//{_XMP_TEXT % name}") for name in ("title", "description")}


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
