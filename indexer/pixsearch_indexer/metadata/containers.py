"""Find the metadata blocks in each kind of picture file: EXIF, XMP, IPTC and PNG text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import ExifTags, Image

from pixsearch.boxes import boxes
from pixsearch.pictures import METADATA_ERRORS, exif_of
from pixsearch_indexer.metadata.exif import exif_of_bytes
from pixsearch_indexer.metadata.iptc import EXIF_RESOURCE, IPTC_RESOURCE, XMP_RESOURCE, photoshop_resources
from pixsearch_indexer.metadata.jpeg import XMP_HEAD, xmp_packets
from pixsearch_indexer.metadata.png import SIGNATURE, XMP_KEYWORD, read_png

_TIFF_IPTC, _TIFF_PHOTOSHOP = 33723, 34377
_JP2_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JP2_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_JP2_EXIF = (b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"))
_BOXED = ("JPEG2000", "JXL")
_GIF_XMP = b"\x0bXMP DataXMP"
_CR3 = b"ftypcrx "
_CR3_METADATA = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_MOST_UNPACKED = 16 << 20


@dataclass(slots=True)
class Blocks:
    """The metadata blocks in a file. The blocks of the picture itself come first."""

    exif: list[Image.Exif] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)
    iptc: list[bytes] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """The text chunks of a PNG, by keyword."""


def blocks_of(picture: Image.Image, data: bytes) -> Blocks:
    """Return the metadata blocks of a picture opened by `open_header`. Damaged blocks are left out.

    Args:
        data: the file's bytes.
    """
    found = Blocks()
    if data.startswith(SIGNATURE):  # Pillow would have to decode the pixels to reach the chunks after them
        _add_png(found, data)
        return found
    found.exif.append(exif_of(picture))
    if packets := xmp_packets(data):  # Pillow keeps only the last packet, and no extensions
        found.xmp += packets
    elif xmp := _bytes(picture.info.get("xmp")) or _xmp_of_gif(data):
        found.xmp.append(xmp)
    if picture.format in _BOXED or data[4:12] == _CR3:
        _add_boxes(found, data)
    resources = _resources(picture)
    if EXIF_RESOURCE in resources:
        found.exif.append(exif_of_bytes(resources[EXIF_RESOURCE]))
    if XMP_RESOURCE in resources:
        found.xmp.append(resources[XMP_RESOURCE])
    if (iptc := _bytes(_tag(picture, _TIFF_IPTC))) or (iptc := resources.get(IPTC_RESOURCE, b"")):
        found.iptc.append(iptc)
    return found


def _xmp_of_gif(data: bytes) -> bytes:
    """Return the XMP packet of a GIF, which ends where a trailer of descending bytes begins (XMP part 3, 1.1.2)."""
    begins = data.find(_GIF_XMP) if data.startswith(b"GIF8") else -1
    return b"" if begins < 0 else data[begins + len(_GIF_XMP) :].partition(b"\x01\xff\xfe\xfd")[0]


def _add_png(found: Blocks, data: bytes) -> None:
    png = read_png(data)
    found.texts = png.texts
    exif = [png.exif, png.profiles.get("exif", b""), png.profiles.get("APP1", b"")]
    found.exif += [exif_of_bytes(block) for block in exif if block and not block.startswith(XMP_HEAD)]
    xmp = [png.texts.pop(XMP_KEYWORD, "").encode(errors="replace"), png.profiles.get("xmp", b"")]
    xmp += [block.removeprefix(XMP_HEAD) for block in exif if block.startswith(XMP_HEAD)]
    found.xmp += filter(None, xmp)
    if iptc := png.profiles.get("iptc", png.profiles.get("8bim", b"")):
        found.iptc.append(photoshop_resources(iptc).get(IPTC_RESOURCE, iptc))


def _add_boxes(found: Blocks, data: bytes) -> None:
    """Add the metadata in the boxes of a JPEG 2000 (ISO/IEC 15444-1, annex I) or JPEG XL (ISO/IEC 18181-2)."""
    for kind, body in _unpacked(data):
        if kind == b"Exif":  # the first four bytes give the offset of EXIF, counted from the fifth byte
            found.exif.append(exif_of_bytes(body[4 + int.from_bytes(body[:4], "big") :]))
        elif kind == b"xml ":
            found.xmp.append(body)
        elif kind == b"moov":
            _add_cr3(found, body)
        elif kind == b"uuid":
            name, body = body[:16], body[16:]
            if name in _JP2_EXIF:
                found.exif.append(exif_of_bytes(body))
            elif name == _JP2_XMP:
                found.xmp.append(body)
            elif name == _JP2_IPTC:
                found.iptc.append(photoshop_resources(body).get(IPTC_RESOURCE, body))


def _add_cr3(found: Blocks, moov: bytes) -> None:
    """Add the EXIF of a Canon CR3, which stores its three directories as separate TIFFs (lclevy/canon_cr3)."""
    for outer in boxes(moov):
        if outer.kind != b"uuid" or moov[outer.begins : outer.begins + 16] != _CR3_METADATA:
            continue
        parts = {box.kind: moov[box.begins : box.ends] for box in boxes(moov, outer.begins + 16, outer.ends)}
        exif = exif_of_bytes(parts.get(b"CMT1", b""))
        for kind, which in ((b"CMT2", ExifTags.IFD.Exif), (b"CMT4", ExifTags.IFD.GPSInfo)):
            exif.get_ifd(which).update(exif_of_bytes(parts.get(kind, b"")))
        found.exif.append(exif)


def _unpacked(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    for box in boxes(data):
        body = data[box.begins : box.ends]
        if box.kind == b"brob" and body[:4] in (b"Exif", b"xml "):
            import imagecodecs  # takes 0.1 s to import, and such files are rare

            try:
                yield body[:4], bytes(imagecodecs.brotli_decode(body[4:], out=_MOST_UNPACKED))
            except (RuntimeError, ValueError):  # imagecodecs' own errors are subclasses of these
                continue
        else:
            yield box.kind, body


def _resources(picture: Image.Image) -> dict[int, bytes]:
    """Return the Photoshop resources of a JPEG (as read by Pillow), a PSD or a TIFF."""
    if isinstance(found := picture.info.get("photoshop"), dict):
        return {number: value for number, value in found.items() if isinstance(value, bytes)}
    if isinstance(listed := getattr(picture, "resources", None), list):
        return {number: value for number, _, value in reversed(listed)}
    return photoshop_resources(_bytes(_tag(picture, _TIFF_PHOTOSHOP)))


def _tag(picture: Image.Image, number: int) -> object:
    """Return the value of a TIFF tag, or None if it is missing."""
    tags = getattr(picture, "tag_v2", None)
    if tags is None:
        info: dict[Any, Any] = picture.info
        return info.get(number)
    try:
        # Some programs declare the IPTC tag as four-byte integers, although its raw bytes are IPTC.
        return tags._tagdata.get(number) if number == _TIFF_IPTC else tags.get(number)
    except METADATA_ERRORS:
        return None


def _bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode(errors="replace")
    if isinstance(value, tuple) and all(isinstance(part, int) and 0 <= part < 256 for part in value):
        return bytes(value)
    return value if isinstance(value, bytes) else b""
