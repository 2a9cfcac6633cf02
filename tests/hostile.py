"""Make a folder of over 300 hostile files: `python -m tests.hostile FOLDER`."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from tests.photos import png_header

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "HEIF", "AVIF", "PPM")
SUFFIXES = dict(zip(FORMATS, ["jpg", "png", "webp", "gif", "bmp", "tif", "jp2", "heic", "avif", "ppm"], strict=True))
NAMES = ("line\nbreak", "ひまわり 🌻", "-leading", "100%_'\"", "x" * 240, os.fsdecode(b"not utf-8 \xff"), " ")


@dataclass
class Hostile:
    """The files that were made, grouped by the expected result."""

    folder: Path
    good: list[Path] = field(default_factory=list)
    """Photos that must be found."""
    bad: list[Path] = field(default_factory=list)
    """Files that must be listed as failures."""
    either: list[Path] = field(default_factory=list)
    """Files that must be either photos or failures."""
    passed_over: list[Path] = field(default_factory=list)
    """Paths that must be neither photos nor failures."""


def make_hostile_folder(folder: Path) -> Hostile:
    """Fill a new folder with hostile files, which are the same each time."""
    pillow_heif.register_heif_opener()
    made, chance = Hostile(folder), random.Random(0)
    for maker in (_good, _cut, _flipped, _no_pictures, _bombs, _odd_shapes, _no_files):
        maker(made, chance)
    return made


def _good(made: Hostile, chance: random.Random) -> None:
    for format in FORMATS:
        for other in ("JPEG", "PNG", format):  # the right name, and two wrong ones
            path = made.folder / "named" / f"{format} {other}.{SUFFIXES[other]}"
            made.good.append(_write(path, _encoded(_noise(chance), format)))
    for name in NAMES:
        made.good.append(_write(made.folder / "names" / f"{name}.png", _encoded(_noise(chance), "PNG")))
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16", "I", "F", "CMYK"):
        format = "PNG" if mode in ("1", "L", "LA", "P", "RGBA", "I;16") else "TIFF"
        made.good.append(
            _write(made.folder / "modes" / f"{mode}.{SUFFIXES[format]}", _encoded(_in_mode(chance, mode), format))
        )
    made.good.append(_write(made.folder / "modes" / "cmyk.jpg", _encoded(_in_mode(chance, "CMYK"), "JPEG")))
    for format in ("GIF", "WEBP"):
        frames = [_noise(chance) for _ in range(30)]
        data = _encoded(frames[0], format, save_all=True, append_images=frames[1:])
        made.good.append(_write(made.folder / "animated" / f"a.{SUFFIXES[format]}", data))
    for turn in (*range(1, 9), 0, 99):
        exif = Image.Exif()
        exif[0x0112] = turn
        made.good.append(_write(made.folder / "exif" / f"{turn}.jpg", _encoded(_noise(chance), "JPEG", exif=exif)))
    for number, exif_bytes in enumerate((b"Exif\0\0rubbish", b"Exif\0\0II*\0\xff\xff\xff\xff", b"")):
        data = _encoded(_noise(chance), "JPEG", exif=exif_bytes)
        made.good.append(_write(made.folder / "exif" / f"broken {number}.jpg", data))
    locked = _write(made.folder / "locked.jpg", _encoded(_noise(chance), "JPEG"))
    locked.chmod(0)
    (made.good if os.geteuid() == 0 else made.bad).append(locked)


def _cut(made: Hostile, chance: random.Random) -> None:
    for format in FORMATS:
        whole = _encoded(_noise(chance, (320, 240)), format)
        for tenths in range(10):
            path = made.folder / "cut" / f"{tenths}0.{SUFFIXES[format]}"
            (made.bad if tenths < 4 else made.either).append(_write(path, whole[: len(whole) * tenths // 10]))


def _flipped(made: Hostile, chance: random.Random) -> None:
    for format in FORMATS:
        whole = _encoded(_noise(chance), format)
        for number in range(10):
            data = bytearray(whole)
            for _ in range(3):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            made.either.append(_write(made.folder / "flipped" / f"{number}.{SUFFIXES[format]}", bytes(data)))


def _no_pictures(made: Hostile, chance: random.Random) -> None:
    for suffix in SUFFIXES.values():
        made.bad.append(_write(made.folder / "empty" / f"a.{suffix}", b""))
        made.bad.append(_write(made.folder / "text" / f"a.{suffix}", b"dear diary, " * 50))
        made.bad.append(_write(made.folder / "noise" / f"a.{suffix}", chance.randbytes(5000)))
    made.bad.append(_write(made.folder / "text" / "page.jpg", b"<html><script>alert(1)</script></html>"))
    made.bad.append(_write(made.folder / "text" / "script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"))
    made.passed_over.append(_write(made.folder / "text" / "notes.txt", b"dear diary"))


def _bombs(made: Hostile, chance: random.Random) -> None:
    for width, height in ((20_000, 20_000), (65_000, 65_000), (2**31 - 1, 2**31 - 1), (0, 0)):
        made.bad.append(_write(made.folder / "bombs" / f"{width}.png", png_header(width, height)))
    gif = struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
    made.bad.append(_write(made.folder / "bombs" / "a.gif", b"GIF89a" + gif))
    bmp = struct.pack("<IHHIIiiHHIIiiII", 58, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    made.bad.append(_write(made.folder / "bombs" / "a.bmp", b"BM" + bmp))
    made.bad.append(_write(made.folder / "bombs" / "a.ppm", b"P6 100000 100000 255\n"))


def _odd_shapes(made: Hostile, chance: random.Random) -> None:
    for size in ((1, 1), (2, 1), (1, 20_000), (20_000, 1)):
        for format in ("PNG", "BMP", "TIFF"):
            path = made.folder / "shapes" / f"{size[0]}x{size[1]}.{SUFFIXES[format]}"
            made.good.append(_write(path, _encoded(_noise(chance, size), format)))


def _no_files(made: Hostile, chance: random.Random) -> None:
    folder = made.folder / "no files"
    (folder / "folder.jpg").mkdir(parents=True)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(folder, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket.jpg")  # a socket's own path may have at most 107 bytes
        os.close(here)
    made.bad += [folder / "pipe.jpg", folder / "socket.jpg"]
    (folder / "loop").symlink_to("..")
    (folder / "self.jpg").symlink_to("self.jpg")
    (folder / "broken.jpg").symlink_to("nowhere")
    made.passed_over += [folder / "self.jpg", folder / "broken.jpg", folder / "folder.jpg"]
    for name in ("._a.jpg", ".hidden.jpg", "@eaDir/a.jpg", "#recycle/a.jpg", ".Trashes/a.jpg"):
        made.passed_over.append(_write(folder / name, _encoded(_noise(chance), "JPEG")))


def _noise(chance: random.Random, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a picture in a random colour that does not compress to almost nothing."""
    random = np.random.default_rng(chance.getrandbits(32))
    colour = random.integers(30, 226, 3)
    pixels = colour + random.integers(-25, 26, (size[1], size[0], 3))
    return Image.fromarray(pixels.astype(np.uint8))


def _in_mode(chance: random.Random, mode: str) -> Image.Image:
    noise = _noise(chance)
    if mode == "I;16":
        return Image.fromarray(np.asarray(noise.convert("L")).astype(np.uint16) * 257)
    return noise.convert("L").convert(mode) if mode in ("I", "F", "LA") else noise.convert(mode)


def _encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    made = make_hostile_folder(Path(sys.argv[1]))
    print(f"{len(made.good)} good, {len(made.bad)} bad, {len(made.either)} that may be either")
