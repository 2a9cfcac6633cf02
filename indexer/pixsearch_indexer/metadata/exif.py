"""Read EXIF 2.32 and the tags that Windows adds to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from PIL import ExifTags, Image

from pixsearch.pictures import METADATA_ERRORS

Facts = dict[str, object]


def _names(*tags: ExifTags.Base | ExifTags.GPS) -> dict[int, str]:
    return {tag.value: tag.name for tag in tags}


_FIRST = _names(
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.DateTime,
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Rating,
    ExifTags.Base.RatingPercent,
    ExifTags.Base.DateTimeOriginal,  # belongs in the Exif directory, but TIFF/EP stores it here
)
_WINDOWS = _names(ExifTags.Base.XPTitle, ExifTags.Base.XPComment, ExifTags.Base.XPKeywords, ExifTags.Base.XPSubject)
_DETAILS = _names(
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.OffsetTime,
    ExifTags.Base.OffsetTimeOriginal,
    ExifTags.Base.OffsetTimeDigitized,
    ExifTags.Base.LensModel,
    ExifTags.Base.ExposureTime,
    ExifTags.Base.FNumber,
    ExifTags.Base.ISOSpeedRatings,
    ExifTags.Base.FocalLength,
    ExifTags.Base.FocalLengthIn35mmFilm,
)
_GPS = _names(
    ExifTags.GPS.GPSLatitudeRef,
    ExifTags.GPS.GPSLatitude,
    ExifTags.GPS.GPSLongitudeRef,
    ExifTags.GPS.GPSLongitude,
    ExifTags.GPS.GPSTimeStamp,
    ExifTags.GPS.GPSDateStamp,
)


def read_exif(exif: Image.Exif) -> Facts:
    """Return the tag values by name. Text is returned as str; numbers and lists of numbers are unchanged."""
    facts: Facts = {}
    details, gps = (_directory(exif, which) for which in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
    for directory, names in ((details, _DETAILS), (exif, _FIRST), (gps, _GPS)):
        for tag, value in _values(directory, names):
            facts.setdefault(names[tag], _text(value) if isinstance(value, str | bytes) else value)
    for tag, value in _values(exif, _WINDOWS):
        facts[_WINDOWS[tag]] = _utf16(value)
    for _, value in _values(details, {ExifTags.Base.UserComment: ""}):
        facts["UserComment"] = _user_comment(value, "utf-16-be" if exif.endian == ">" else "utf-16-le")
    return facts


def exif_of_bytes(data: bytes) -> Image.Exif:
    """Parse EXIF from TIFF bytes, with or without an `Exif` prefix. Return empty EXIF if they are damaged."""
    exif = Image.Exif()
    try:
        exif.load(data)
    except METADATA_ERRORS:
        return Image.Exif()
    return exif


def _directory(exif: Image.Exif, which: ExifTags.IFD) -> Mapping[int, object]:
    try:
        return exif.get_ifd(which)
    except METADATA_ERRORS:
        return {}


def _values(directory: Mapping[int, object] | Image.Exif, names: Mapping[int, str]) -> Iterator[tuple[int, object]]:
    """Yield the values of these tags. Each is read separately because any of them may be damaged."""
    for tag in names:
        try:
            value = directory.get(tag)
        except METADATA_ERRORS:
            continue
        if value is not None:
            yield tag, value


def _text(value: str | bytes) -> str:
    """Decode text up to its first NUL. Pillow decodes it as Latin-1, but most programs write UTF-8."""
    try:
        data = value if isinstance(value, bytes) else value.encode("latin-1")
    except UnicodeEncodeError:
        return str(value)  # the text was not read from a file
    data = data.partition(b"\0")[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _utf16(value: object) -> str | None:
    """Decode the UTF-16 text in a Windows tag, which some programs store as a list of numbers instead of bytes."""
    if isinstance(value, tuple | list) and all(isinstance(part, int) and 0 <= part < 256 for part in value):
        value = bytes(value)
    return value.decode("utf-16-le", errors="replace").partition("\0")[0] if isinstance(value, bytes) else None


def _user_comment(value: object, byte_order: str) -> str | None:
    """Decode a comment using the character code in its first eight bytes (EXIF 2.32, 4.6.5, tag 37510)."""
    if isinstance(value, str):
        value = value.encode("latin-1", errors="replace")
    if not isinstance(value, bytes):
        return None
    code, text = value[:8].rstrip(b"\0 ").upper(), value[8:]
    if code == b"UNICODE":
        return _unicode(text, byte_order)
    if code == b"JIS":
        for encoding in ("iso2022_jp", "shift_jis", "euc_jp"):
            try:
                return text.rstrip(b"\0 ").decode(encoding)
            except UnicodeDecodeError:
                continue
        return None
    if code not in (b"ASCII", b""):  # no character code: the text starts at the first byte
        text = value
    text = text.strip(b"\0 ")
    return None if b"\0" in text else _text(text)  # NUL bytes mean binary data: maker notes


def _unicode(text: bytes, byte_order: str) -> str:
    """Decode UTF-16 in the byte order that its zero bytes suggest, because many programs use the wrong one.

    Text without zero bytes is decoded in the byte order of the file.
    """
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return text.decode("utf-16", errors="replace").partition("\0")[0]
    text = text[: len(text) // 2 * 2].rstrip(b"\0") + b"\0" * (len(text.rstrip(b"\0")) % 2)
    high, low = text[0::2].count(0), text[1::2].count(0)
    if high != low:
        byte_order = "utf-16-be" if high > low else "utf-16-le"
    if not high and not low and text.isascii():  # not UTF-16
        return _text(text)
    return text.decode(byte_order, errors="replace").partition("\0")[0]
