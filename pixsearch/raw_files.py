"""A Pillow plugin for camera RAW files, which reads the embedded preview.

The sensor size comes from the RAW file itself, as do EXIF, XMP and IPTC data if the file is based on TIFF (DNG, CR2,
NEF, ARW, ORF, RW2, PEF). Everything else is read by LibRaw through rawpy.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pixsearch.errors import PictureError
from pixsearch.picture_files import RAW_WITHOUT_RAWPY, has_raw_signature

if TYPE_CHECKING:
    import rawpy
    from PIL import _imaging

_SUB_IFDS, _PHOTOMETRIC, _DNG_VERSION, _XMP, _IPTC, _PHOTOSHOP = 330, 262, 50706, 700, 33723, 34377
_OF_SENSORS = (32803, 34892)
"""The photometric interpretations of sensor data (DNG 1.7, chapter 4): colour filter array and linear RAW."""
_TIFF_HEADS = {b"II": b"II*\0", b"MM": b"MM\0*"}
_UPRIGHT = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}
"""The transposition for each LibRaw `flip` value."""


class RawImageFile(ImageFile.ImageFile):
    """An upright RAW file. It has the size of the sensor before it is loaded, and that of the preview afterwards."""

    format = "RAW"
    format_description = "Camera RAW file"

    def _open(self) -> None:
        assert self.fp is not None, "Image.open has opened the file"
        data = self.fp.read()
        if not _is_raw(data):
            raise SyntaxError("not a RAW file")
        try:
            import rawpy
        except ImportError as error:
            raise PictureError(RAW_WITHOUT_RAWPY) from error
        try:
            raw = rawpy.imread(io.BytesIO(data))
        except rawpy.LibRawError as error:
            raise PictureError(f"cannot be decoded: {error.args[0].decode()}") from error
        sizes = raw.sizes
        self._turn = _UPRIGHT.get(sizes.flip)
        sideways = self._turn in (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
        self._size = (sizes.height, sizes.width) if sideways else (sizes.width, sizes.height)
        self._raw: rawpy.RawPy | None = raw
        self._preview = _preview(raw)
        self._mode = "RGB" if self._preview is None else self._preview.mode
        self.info = {} if self._preview is None else dict(self._preview.info)
        if (head := _TIFF_HEADS.get(data[:2])) is not None:
            tiff = head + data[4:]
            first = _directory(tiff)
            self.info["exif"] = tiff
            self.info["xmp"] = first.get(_XMP)
            for number in (_IPTC, _PHOTOSHOP):  # the raw bytes, because some programs store them as 32-bit numbers
                self.info[number] = first._tagdata.get(number)  # type: ignore[index]

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Make a JPEG preview decode at the smallest available size that is at least `size`."""
        if self._preview is not None:
            self._preview.draft(mode, size)

    def load(self) -> _imaging.PixelAccess | None:
        if self._raw is not None:
            picture = _developed(self._raw) if self._preview is None else self._preview
            picture.load()
            if self._turn is not None:
                picture = picture.transpose(self._turn)
            self.im, self._mode, self._size = picture.im, picture.mode, picture.size
            self._raw.close()
            self._raw, self._preview = None, None
        return Image.Image.load(self)


def _preview(raw: rawpy.RawPy) -> Image.Image | None:
    """Return the largest preview in the file, or None if there is no readable preview."""
    import rawpy

    try:
        preview = raw.extract_thumb()
        if isinstance(preview.data, bytes):
            return Image.open(io.BytesIO(preview.data), formats=["JPEG"])
        return Image.fromarray(preview.data)
    except (rawpy.LibRawError, UnidentifiedImageError):
        return None


def _developed(raw: rawpy.RawPy) -> Image.Image:
    """Develop the sensor data at half size."""
    return Image.fromarray(raw.postprocess(use_camera_wb=True, half_size=True, user_flip=0))


def _is_raw(data: bytes) -> bool:
    """Return whether the data is a RAW file. Most RAW files look like TIFF and can be recognised only by their tags."""
    if has_raw_signature(data):
        return True
    if data[8:10] == b"CR":  # Canon CR2, right after the TIFF header
        return True
    first = _directory(data)
    if _DNG_VERSION in first:
        return True
    directories = [first, *(_directory(data, offset) for offset in first.get(_SUB_IFDS, ()))]
    return any(directory.get(_PHOTOMETRIC) in _OF_SENSORS for directory in directories)


def _directory(data: bytes, offset: int | None = None) -> ImageFileDirectory_v2:
    """Return the TIFF directory at an offset. The default is the first directory."""
    file, directory = io.BytesIO(data), ImageFileDirectory_v2(data[:8])
    file.seek(directory.next if offset is None else offset)
    directory.load(file)
    return directory


def _may_be_raw(prefix: bytes) -> bool:
    return has_raw_signature(prefix) or prefix[:4] in _TIFF_HEADS.values()


Image.register_open(RawImageFile.format, RawImageFile, _may_be_raw)
