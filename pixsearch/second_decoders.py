"""Fallback decoders for pictures that Pillow's own decoders cannot read.

| format | first | second | reason |
|---|---|---|---|
| PNG | Pillow | Pillow, essential chunks only | the pixels are readable even if an ancillary chunk is damaged or huge |
| TIFF | Pillow | tifffile, imagecodecs | float, 32 bits, 16 bits with alpha or Lab, big-endian BigTIFF, WebP |
| AVIF | Pillow | imagecodecs | alpha planes without a size (encoders before 2021); imagecodecs' libavif is lenient |
| JPEG XL | imagecodecs | | not supported by Pillow, and pillow-jxl-plugin is licensed under the GPL |
| PSD, PSB | Pillow | imagecodecs' PackBits | 16 and 32 bits, and Photoshop's format for large files |

The second decoder is used if the first one fails, within the same time and memory limits. It is used right away for
TIFF files that Pillow opens but decodes incorrectly: those with more than 8 bits per sample that have separate planes
or white as 0. Each decoder is a Pillow plugin that knows the size of a picture before decoding it.
"""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from pixsearch.avif_boxes import AVIF_BRANDS, avif_facts

if TYPE_CHECKING:
    from PIL import _imaging

JXL_SIGNATURES = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE = 25
"""The byte offset of the colour type in a PNG file."""
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_TRANSPARENCY_BYTES = {0: (2,), 2: (6,), 3: range(1, 257)}
"""The valid sizes of a transparency chunk for each colour type (PNG specification, 11.3.1.1)."""
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEAD_BYTES = 4096


def reopened(data: bytes) -> Image.Image | None:
    """Open a picture with the second decoder for its format, or return None if there is none.

    Exceptions from the decoder are not caught.
    """
    if data.startswith(_PNG):
        return Image.open(io.BytesIO(without_side_chunks(data)), formats=["PNG"])
    if data.startswith(_TIFFS):
        return TiffFileImage(io.BytesIO(data))
    if data[4:8] == b"ftyp" and (data[8:12] in AVIF_BRANDS or b"av01" in data[:_HEAD_BYTES]):
        return AvifImage(io.BytesIO(data))
    if data.startswith(JXL_SIGNATURES):
        return JxlImage(io.BytesIO(data))
    if data.startswith(b"8BPS"):
        return PsdImage(io.BytesIO(data))
    return None


def without_side_chunks(data: bytes) -> bytes:
    """Return a PNG file with only its essential chunks, and its colour profile and transparency if they are valid."""
    kept = [_PNG]
    at = len(_PNG)
    while len(data) - at >= 12:
        size = int.from_bytes(data[at : at + 4], "big")
        kind, chunk = data[at + 4 : at + 8], data[at : at + 12 + size]
        is_sound = kind in _NEEDED or (kind == b"iCCP" and _is_sound(chunk))
        if is_sound or (kind == b"tRNS" and size in _TRANSPARENCY_BYTES.get(data[_PNG_COLOUR_TYPE], ())):
            kept.append(chunk)
        at += 12 + size
        if kind == b"IEND":
            break
    return b"".join(kept)


def _is_sound(chunk: bytes) -> bool:
    """Return whether a chunk is a valid colour profile: correctly compressed and not unusually large."""
    body = chunk[8:-4]
    name, _, rest = body.partition(b"\0")
    if not name or rest[:1] != b"\0" or zlib.crc32(chunk[4:-4]).to_bytes(4, "big") != chunk[-4:]:
        return False
    inflater = zlib.decompressobj()
    try:
        return len(inflater.decompress(rest[1:], 1 << 20)) > 0 and inflater.eof
    except zlib.error:
        return False


class DecodedFile(ImageFile.ImageFile):
    """A picture whose size is known once it is opened, and which is decoded as a whole when it is loaded."""

    def load(self) -> _imaging.PixelAccess | None:
        if self._data is not None:
            data, self._data = self._data, None
            picture = self._decode(data)
            self.im, self._mode, self._size = picture.im, picture.mode, picture.size
        return Image.Image.load(self)

    _data: bytes | None = None

    def _begin(self, size: tuple[int, int]) -> bytes:
        """Store the size, read the file and return its content, which is later passed to `_decode`."""
        assert self.fp is not None, "the caller has opened the file"
        self.fp.seek(0)
        self._data = self.fp.read()
        self._size = size
        self._mode = "RGB"
        return self._data

    def _decode(self, data: bytes) -> Image.Image:
        raise NotImplementedError


class JxlImage(DecodedFile):
    """A JPEG XL picture (ISO/IEC 18181), already upright."""

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        from pixsearch.jxl_header import jxl_size

        assert self.fp is not None
        self._begin(jxl_size(self.fp.read()))

    def _decode(self, data: bytes) -> Image.Image:
        import imagecodecs  # takes 0.1 s, so it is imported only for such pictures

        return picture_of(_first_frame(imagecodecs.jpegxl_decode(data, numthreads=1)))


class AvifImage(DecodedFile):
    """An AVIF picture (AV1 Image File Format 1.1), cropped to its clean aperture, which decoders ignore."""

    format = "AVIF"
    format_description = "AVIF"

    def _open(self) -> None:
        assert self.fp is not None
        facts = avif_facts(self.fp.read())
        if facts.size is None:
            raise SyntaxError("no image size in the AVIF boxes")
        self._aperture = facts.crop
        size = facts.size if facts.crop is None else facts.crop.size
        self._begin(size)
        if facts.exif:
            self.info["exif"] = facts.exif
        if facts.xmp:
            self.info["xmp"] = facts.xmp
        if facts.profile:
            self.info["icc_profile"] = facts.profile
        self._orientation = facts.orientation

    def getexif(self) -> Image.Exif:
        exif = super().getexif()
        exif[ExifTags.Base.Orientation] = self._orientation  # in AVIF, only the orientation in the boxes counts
        return exif

    def _decode(self, data: bytes) -> Image.Image:
        try:
            picture: Image.Image = Image.open(io.BytesIO(data), formats=["AVIF"])
            picture.load()
        except Exception:  # noqa: BLE001 - the second decoder may succeed or raise its own error
            import imagecodecs  # slow to import, as above

            picture = picture_of(_first_frame(imagecodecs.avif_decode(data, index=0, numthreads=1)))
        return picture if self._aperture is None else picture.crop(self._aperture)


class TiffFileImage(DecodedFile):
    """The first page of a TIFF 6.0 or BigTIFF file, read by tifffile and already upright."""

    format = "TIFF"
    format_description = "TIFF (tifffile)"

    def _open(self) -> None:
        import tifffile  # takes 0.2 s, so it is imported only for such pictures

        assert self.fp is not None
        data = self.fp.read()
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            width, height = page.imagewidth, page.imagelength
            self._turn = int(page.tags.valueof(274, default=1) or 1)
            self._tags = {tag.code: tag.value for tag in page.tags}
            self.info["icc_profile"] = page.tags.valueof(34675)
            for number in (700, 33723, 34377):
                self.info[number if number != 700 else "xmp"] = page.tags.valueof(number)  # type: ignore[index]
        self._begin((height, width) if self._turn in (5, 6, 7, 8) else (width, height))

    def getexif(self) -> Image.Exif:
        exif = Image.Exif()
        directories = {34665: ExifTags.Base, 34853: ExifTags.GPS}
        exif.update({code: value for code, value in self._tags.items() if isinstance(value, str | bytes | int)})
        for code, names in directories.items():
            found = self._tags.get(code)
            if isinstance(found, dict):
                exif.get_ifd(code).update(
                    {names[name].value: _number(value) for name, value in found.items() if name in names.__members__}
                )
        return exif

    def _decode(self, data: bytes) -> Image.Image:
        import tifffile

        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page: Any = file.pages[0]
            picture = _tiff_picture(page, page.asarray(maxworkers=1))
        # Not ImageOps.exif_transpose, which requires EXIF data.
        return picture.transpose(TURNS[self._turn]) if self._turn in TURNS else picture


class PsdImage(DecodedFile):
    """The flattened picture that a Photoshop file (PSD or PSB) contains for other programs."""

    format = "PSD"
    format_description = "Photoshop"

    def _open(self) -> None:
        assert self.fp is not None
        head = self.fp.read(26)
        if head[:4] != b"8BPS" or int.from_bytes(head[4:6], "big") not in (1, 2):
            raise SyntaxError("not a Photoshop file")
        data = self._begin((int.from_bytes(head[18:22], "big"), int.from_bytes(head[14:18], "big")))
        self.info["icc_profile"] = self._resources(data).get(1039)

    def _resources(self, data: bytes) -> dict[int, bytes]:
        self.resources: list[tuple[int, bytes, bytes]] = []
        at = 26
        at += 4 + int.from_bytes(data[at : at + 4], "big")
        ends = at + 4 + int.from_bytes(data[at : at + 4], "big")
        at += 4
        while at + 12 <= min(ends, len(data)):
            name_ends = at + 7 + data[at + 6]
            name_ends += (name_ends - at) % 2
            size = int.from_bytes(data[name_ends : name_ends + 4], "big")
            body = data[name_ends + 4 : name_ends + 4 + size]
            self.resources.append((int.from_bytes(data[at + 4 : at + 6], "big"), b"", body))
            at = name_ends + 4 + size + size % 2
        return {number: body for number, _, body in reversed(self.resources)}

    def _decode(self, data: bytes) -> Image.Image:
        import imagecodecs

        version, bands, depth, mode = (int.from_bytes(data[at : at + 2], "big") for at in (4, 12, 22, 24))
        width, height = self._size
        at = 26
        for section in range(3):  # colour mode data, resources and layers, each preceded by its length
            wide = 8 if section == 2 and version == 2 else 4
            at += wide + int.from_bytes(data[at : at + wide], "big")
        compression = int.from_bytes(data[at : at + 2], "big")
        at += 2
        kind = {8: ">u1", 16: ">u2", 32: ">f4"}.get(depth)
        colours = {1: 1, 3: 3, 4: 4, 8: 1}.get(mode)
        if kind is None or colours is None or compression not in (0, 1) or bands < colours:
            raise SyntaxError(f"unsupported Photoshop file: mode {mode}, {depth} bits, compression {compression}")
        row_bytes = width * depth // 8
        if compression == 1:
            wide = 4 if version == 2 else 2
            rows = bands * height
            sizes = np.frombuffer(data, f">u{wide}", rows, at).tolist()
            at += wide * rows
            unpacked = []
            for size in sizes[: colours * height]:
                unpacked.append(imagecodecs.packbits_decode(data[at : at + size])[:row_bytes].ljust(row_bytes, b"\0"))
                at += size
            data, at = b"".join(unpacked), 0
        planes = np.frombuffer(data, kind, colours * width * height, at).reshape(colours, height, width)
        if mode == 4:  # CMYK is stored inverted
            planes = np.iinfo(planes.dtype).max - planes
            return _cmyk(to_8_bit(planes.transpose(1, 2, 0)))
        return picture_of(planes.transpose(1, 2, 0))


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes a picture upright, for each orientation (EXIF 2.32, 4.6.4, tag 274; TIFF 6.0)."""


def picture_of(values: NDArray[Any]) -> Image.Image:
    """Convert an array [rows, columns] or [rows, columns, bands] to an L, LA, RGB or RGBA picture."""
    values = to_8_bit(values)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim == 3 and values.shape[2] > 4:
        values = values[:, :, :3]
    return Image.fromarray(np.ascontiguousarray(values))


def to_8_bit(values: NDArray[Any], bits: int | None = None) -> NDArray[np.uint8]:
    """Scale numbers of any type to 8 bits.

    Integers are scaled from the full range of `bits`, or of their type (32-bit integers up to 65535 count as 16-bit).
    Floats are scaled from the range 0 to 1. If some values exceed the range, or if 32-bit integers use only a small
    part of it, the range is that between the 0.5th and 99.5th percentiles instead.
    """
    if values.dtype == np.uint8 and bits in (None, 8):
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if is_float := values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    is_signed = values.dtype.kind == "i" and values.dtype.itemsize <= 2  # Pillow has only signed integers of 32 bits
    low, high = 0.0, 1.0 if is_float else float(1 << (bits or 8 * values.dtype.itemsize) - is_signed) - 1
    is_wide = not is_float and values.dtype.itemsize > 2
    if is_wide and most <= 65535:
        high = 65535.0
    if least < low or most > high or (is_wide and most < high / 16):
        low, high = (float(np.percentile(values, share, method="nearest")) for share in (0.5, 99.5))
    if high <= low:
        high = low + 1.0
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    shown: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return shown


def _first_frame(values: NDArray[Any]) -> NDArray[Any]:
    return values[0] if values.ndim == 4 else values


def _tiff_picture(page: Any, values: NDArray[Any]) -> Image.Image:
    """Convert a TIFF page to a picture according to its tags (TIFF 6.0, PhotometricInterpretation)."""
    kind = getattr(page.photometric, "name", "")
    axes = page.axes
    while values.ndim > 2 and axes[0] not in "YS":  # volumes and the like: use the first slice
        values, axes = values[0], axes[1:]
    if axes.startswith("S"):  # one plane per band
        values, axes = np.moveaxis(values, 0, -1), axes[1:] + "S"
    bands = values.shape[2] if values.ndim == 3 else 1
    values = values.reshape(*values.shape[:2], bands)
    colours = {"RGB": 3, "YCBCR": 3, "CIELAB": 3, "ICCLAB": 3, "ITULAB": 3, "SEPARATED": 4}.get(kind, 1)
    if kind == "PALETTE" and page.colormap is not None:
        return picture_of(np.moveaxis(page.colormap, 0, -1)[np.minimum(values[:, :, 0], page.colormap.shape[1] - 1)])
    bits = page.bitspersample
    if kind in ("CIELAB", "ICCLAB", "ITULAB"):
        return _lab(values[:, :, :3], kind)
    extra = [getattr(sample, "value", sample) for sample in page.extrasamples]
    has_alpha = bands > colours and bool(extra) and extra[0] in (1, 2)
    shown = to_8_bit(values[:, :, :colours], None if values.dtype.kind == "f" else bits)
    if kind == "MINISWHITE":
        shown = 255 - shown
    if kind == "SEPARATED":
        return _cmyk(shown)
    if not has_alpha:
        return picture_of(shown)
    return picture_of(np.concatenate([shown, to_8_bit(values[:, :, colours : colours + 1])], axis=2))


def _cmyk(values: NDArray[np.uint8]) -> Image.Image:
    return Image.frombytes("CMYK", (values.shape[1], values.shape[0]), np.ascontiguousarray(values[:, :, :4]).tobytes())


def _lab(values: NDArray[Any], kind: str) -> Image.Image:
    """Convert L*a*b* values to a Pillow LAB picture: 8 bits, with signed a* and b*."""
    if values.dtype.kind == "f":
        values = np.stack([values[:, :, 0] * 2.55, values[:, :, 1], values[:, :, 2]], axis=2)
        values = np.clip(np.rint(np.nan_to_num(values)), [0, -128, -128], [255, 127, 127]).astype(np.int16)
    elif values.dtype.itemsize == 2:
        values = values.view(np.uint16) >> 8
    values = values.astype(np.uint8)
    if kind != "CIELAB":  # in the other kinds, a* and b* are offset by 128
        values = values ^ np.array([0, 128, 128], dtype=np.uint8)
    size = values.shape[1], values.shape[0]
    return Image.frombytes("LAB", size, np.ascontiguousarray(values).tobytes(), "raw", "LAB")


def _number(value: object) -> object:
    """Convert tifffile's fractions, which are pairs of integers, to floats. Return other values unchanged."""
    if isinstance(value, tuple) and value and all(isinstance(part, int) for part in value):
        if len(value) == 2:
            return value[0] / value[1] if value[1] else float("nan")
        if len(value) == 6:
            return tuple(
                top / bottom if bottom else float("nan") for top, bottom in zip(value[::2], value[1::2], strict=True)
            )
    return value
