"""Pictures that Pillow's own decoders refuse or show incorrectly."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from pixsearch.avif_boxes import avif_facts
from pixsearch.boxes import boxes
from pixsearch.errors import PictureError
from pixsearch.pictures import open_header, open_picture

SMOOTH: NDArray[np.float64] = np.stack(
    np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 30), [0.2, 0.5, 0.8], indexing="xy"), axis=-1
).mean(axis=3)
"""Rows, columns and three bands with values from 0 to 1."""
SHOWN = np.rint(SMOOTH * 255)


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def differs_from(picture: Image.Image, expected: NDArray[Any]) -> float:
    """Return the mean difference in levels."""
    found: NDArray[np.float32] = np.asarray(picture, dtype=np.float32)
    assert found.shape == expected.shape
    return float(abs(found - expected).mean())


GREY = SMOOTH[:, :, 0]
KINDS: dict[str, tuple[bytes, NDArray[Any]]] = {
    "float": (tiff(SMOOTH.astype(np.float32), photometric="rgb"), SHOWN),
    "half float": (tiff(SMOOTH.astype(np.float16), photometric="rgb"), SHOWN),
    "float 64": (tiff(SMOOTH, photometric="rgb"), SHOWN),
    "HDR": (
        tiff((SMOOTH * 1000).astype(np.float32), photometric="rgb"),
        (SHOWN - SHOWN.min()) * 255 / (SHOWN.max() - SHOWN.min()),
    ),
    "32 bit": (tiff((SMOOTH * (2**32 - 1)).astype(np.uint32), photometric="rgb"), SHOWN),
    "16 bit": (tiff((SMOOTH * 65535).astype(np.uint16), photometric="rgb"), SHOWN),
    "signed 16 bit": (tiff((SMOOTH * 32767).astype(np.int16), photometric="rgb"), SHOWN),
    "grey signed 16 bit": (tiff((GREY * 32767).astype(np.int16)), np.repeat(SHOWN[:, :, :1], 3, axis=2)),
    "16 bit planes": (
        tiff(np.moveaxis((SMOOTH * 65535).astype(np.uint16), -1, 0), photometric="rgb", planarconfig="separate"),
        SHOWN,
    ),
    "big-endian BigTIFF": (tiff(SHOWN.astype(np.uint8), photometric="rgb", bigtiff=True, byteorder=">"), SHOWN),
    "WebP inside": (tiff(SHOWN.astype(np.uint8), photometric="rgb", compression="webp"), SHOWN),
    "zstd inside": (tiff(SHOWN.astype(np.uint8), photometric="rgb", compression="zstd"), SHOWN),
    "grey float": (tiff(GREY.astype(np.float32)), np.repeat(SHOWN[:, :, :1], 3, axis=2)),
    "grey 32 bit": (tiff((GREY * (2**32 - 1)).astype(np.uint32)), np.repeat(SHOWN[:, :, :1], 3, axis=2)),
    "white is zero": (
        tiff(((1 - GREY) * 65535).astype(np.uint16), photometric="miniswhite"),
        np.repeat(SHOWN[:, :, :1], 3, axis=2),
    ),
    "alpha 16 bit": (
        tiff(
            np.dstack([(SMOOTH * 65535), np.full(GREY.shape, 65535)]).astype(np.uint16),
            photometric="rgb",
            extrasamples=["unassalpha"],
        ),
        SHOWN,
    ),
}


@pytest.mark.parametrize(("data", "expected"), KINDS.values(), ids=KINDS)
def test_a_tiff_of_any_kind_of_number_is_scaled_to_what_it_shows(data: bytes, expected: NDArray[Any]) -> None:
    assert differs_from(open_picture(data), expected) < 6  # the brightest half percent is clipped


def test_lab_of_16_bits_is_turned_into_rgb() -> None:
    lab = np.zeros((8, 8, 3), np.uint16)
    lab[:, :, 0] = 53 * 65535 // 100  # CIE: 53.2, 80.1, 67.2 is sRGB's red
    lab[:, :, 1], lab[:, :, 2] = 80 * 256, 67 * 256
    data = bytearray(tiff(lab, photometric="rgb"))
    at = data.index(struct.pack("<HHI", 262, 3, 1)) + 8
    data[at : at + 2] = struct.pack("<H", 8)  # CIELab

    red = np.asarray(open_picture(bytes(data)), np.float32)[4, 4]

    assert red == pytest.approx((255, 0, 0), abs=12)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_tiff_is_upright_by_either_decoder(turn: int) -> None:
    data = tiff(SMOOTH.astype(np.float32), photometric="rgb", extratags=[(274, 3, 1, turn, True)])
    by_pillow = io.BytesIO()
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(SHOWN.astype(np.uint8)).save(by_pillow, "TIFF", exif=exif)

    expected = np.asarray(open_picture(by_pillow.getvalue()), np.float32)

    assert open_header(data).size == (expected.shape[1], expected.shape[0])
    assert differs_from(open_picture(data), expected) < 1


@pytest.mark.parametrize("size", [(40, 30), (256, 256), (300, 200), (1, 1), (1000, 3)])
@pytest.mark.parametrize("lossless", [True, False])
def test_jpeg_xl_says_its_size_before_it_is_decoded(size: tuple[int, int], lossless: bool) -> None:
    values = np.full((size[1], size[0], 3), (200, 40, 10), np.uint8)
    data = bytes(imagecodecs.jpegxl_encode(values, lossless=lossless))

    header = open_header(data)

    assert (header.format, header.size) == ("JXL", size)
    assert open_picture(data).size == size
    assert differs_from(open_picture(data), values.astype(np.float32)) < 4


def test_a_jpeg_xl_that_claims_too_much_is_refused_before_it_is_decoded() -> None:
    bits = "0" + "11" + f"{2**17 - 1:030b}"[::-1] + "111"  # not small, 30 bits for the height, ratio 2:1
    packed = int(bits[::-1], 2).to_bytes(16, "little")

    with pytest.raises(PictureError, match="megapixels"):
        open_header(b"\xff\x0a" + packed + bytes(100))


def avif_with_aperture(picture: Image.Image, width: int, height: int) -> bytes:
    """Return an AVIF that shows only a central area of this size (ISO/IEC 14496-12, 12.1.4)."""
    buffer = io.BytesIO()
    picture.save(buffer, "AVIF", quality=95)
    data = buffer.getvalue()
    clap = struct.pack(">I4s8I", 40, b"clap", width, 1, height, 1, 0, 1, 0, 1)
    meta = next(box for box in boxes(data) if box.kind == b"meta")
    iprp = next(box for box in boxes(data, meta.begins + 4, meta.ends) if box.kind == b"iprp")
    ipco = next(box for box in boxes(data, iprp.begins, iprp.ends) if box.kind == b"ipco")
    ipma = next(box for box in boxes(data, iprp.begins, iprp.ends) if box.kind == b"ipma")
    number = len(list(boxes(data, ipco.begins, ipco.ends))) + 1
    uses = bytearray(data[ipma.begins : ipma.ends])
    uses[10] += 1  # one more property for the first item, which is the picture
    uses.insert(11 + uses[10] - 1, 0x80 | number)
    grown = bytearray(data[: ipco.ends]) + clap + data[ipco.ends : ipma.begins] + uses + data[ipma.ends :]
    for box, more in ((meta, 41), (iprp, 41), (ipco, 40)):
        size = int.from_bytes(grown[box.begins - 8 : box.begins - 4], "big") + more
        grown[box.begins - 8 : box.begins - 4] = size.to_bytes(4, "big")
    ipma_begins = ipma.begins + 40
    size = int.from_bytes(grown[ipma_begins - 8 : ipma_begins - 4], "big") + 1
    grown[ipma_begins - 8 : ipma_begins - 4] = size.to_bytes(4, "big")
    mdat = next(box for box in boxes(data) if box.kind == b"mdat")
    old, new = struct.pack(">I", mdat.begins), struct.pack(">I", mdat.begins + 41)
    iloc = bytes(grown).index(b"iloc")
    return bytes(grown[:iloc]) + bytes(grown[iloc : iloc + 60]).replace(old, new) + bytes(grown[iloc + 60 :])


def test_of_an_avif_with_a_clean_aperture_only_that_is_shown() -> None:
    picture = Image.new("RGB", (64, 48), "blue")
    picture.paste("red", (16, 12, 48, 36))
    data = avif_with_aperture(picture, 32, 24)

    assert avif_facts(data).crop == (16, 12, 48, 36)
    assert open_header(data).size == (32, 24)
    shown = np.asarray(open_picture(data), np.float32)
    assert shown.shape == (24, 32, 3)
    assert shown.mean(axis=(0, 1)) == pytest.approx((255, 0, 0), abs=12)


def psd(values: NDArray[Any], depth: int, version: int = 1, packed: bool = False) -> bytes:
    height, width, bands = values.shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", version, bands, height, width, depth, 3)
    planes = np.moveaxis(values, -1, 0)
    layers = struct.pack(">Q" if version == 2 else ">I", 0)
    body = planes.tobytes()
    if packed:
        rows = [imagecodecs.packbits_encode(row.tobytes()) for plane in planes for row in plane]
        sizes = struct.pack(f">{len(rows)}{'I' if version == 2 else 'H'}", *map(len, rows))
        body = sizes + b"".join(rows)
    return head + bytes(8) + layers + struct.pack(">H", int(packed)) + body


@pytest.mark.parametrize(("version", "packed"), [(1, False), (1, True), (2, False), (2, True)])
def test_photoshop_s_files_of_8_and_16_bits_are_their_flattened_picture(version: int, packed: bool) -> None:
    deep = psd((SMOOTH * 65535).astype(">u2"), 16, version, packed)
    plain = psd(SHOWN.astype(np.uint8), 8, version, packed)

    for data in (deep, plain):
        assert open_header(data).format == "PSD"
        assert differs_from(open_picture(data), SHOWN) < 2


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


SIDE_CHUNKS = {
    "40 MB of text": chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(40_000_000))),
    "text that is not compressed": chunk(b"zTXt", b"a\0\0rubbish"),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "short pHYs": chunk(b"pHYs", b"\0\0"),
    "short sRGB": chunk(b"sRGB", b""),
    "wrong checksum": chunk(b"tEXt", b"Title\0Harbour")[:-1] + b"\0",
    "unknown profile": chunk(b"iCCP", b"p\0\1abc"),
    "damaged EXIF": chunk(b"eXIf", b"rubbish"),
    "short acTL": chunk(b"acTL", b"\0"),
    "short tRNS": chunk(b"tRNS", b"\0"),
}


@pytest.mark.parametrize("extra", SIDE_CHUNKS.values(), ids=SIDE_CHUNKS)
def test_a_png_is_not_lost_for_what_its_pixels_do_not_need(extra: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    data = buffer.getvalue()
    head = len(b"\x89PNG\r\n\x1a\n") + 25  # IHDR is the first chunk

    assert open_picture(data[:head] + extra + data[head:]).getpixel((0, 0)) == (255, 0, 0)
    assert open_picture(data[:-12] + extra + data[-12:]).getpixel((0, 0)) == (255, 0, 0)
