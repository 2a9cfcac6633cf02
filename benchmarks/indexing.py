"""Measure the speed and memory use of indexing full-size photos, compared with rclip and with an upper bound.

    python benchmarks/indexing.py --pictures album/images [--photos 1000]

Each photo is a 12-megapixel JPEG made from one of the pictures, slightly cropped and resampled, with its EXIF data.
Both programs start from scratch and take turns. "again" is a second run, when all photos are known. open_clip's
ViT-B/32 in torch only embeds the photos. The upper bound ("floor") is the speed if all cores first only decode and
scale the photos and then only run the network.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from benchmarks.measuring import PIXSEARCH, Command, Row, Taken, median, print_machine, take
from benchmarks.peer import PROJECT, forget_all, in_peer, make_peer, rclip, rclip_environment
from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.picture_files import is_named_like_a_picture
from pixsearch.pictures import open_picture

LONG_EDGE, SHORT_EDGE = 4032, 3024
QUALITY = 90
AT_ONCE = 32


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to generate photos from.")],
    photos: Annotated[int, typer.Option(help="Number of photos.")] = 1000,
    rounds: Annotated[int, typer.Option(help="Number of times each program indexes them.")] = 3,
) -> None:
    make_peer()
    print_machine()
    measure(pictures, photos, rounds)


def measure(pictures: Path, photos: int, rounds: int) -> list[Row]:
    """Print the figures for each program, and return the rows for the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, library = Path(scratch) / "photos", Path(scratch) / "library"
        make_photos(pictures, folder, photos)
        megabytes = sum(photo.stat().st_size for photo in folder.iterdir()) / 1e6
        print(f"{photos:,} JPEGs, {LONG_EDGE} x {SHORT_EDGE}, {megabytes:,.0f} MB; medians of {rounds}, open_clip once")
        floor = photos / (decoding_s(folder) + encoding_s(photos))  # also compiles the model if needed
        taken: dict[str, list[Taken]] = {}
        for _ in range(rounds):
            shutil.rmtree(library, ignore_errors=True)
            forget_all()
            ours: Command = [PIXSEARCH, "index", folder, "--library", library]
            for program, command, environment in (
                ("pixsearch", ours, None),
                ("rclip", rclip("a cat", index=True), rclip_environment()),
            ):
                for which in ("first", "again"):
                    taken.setdefault(f"{program} {which}", []).append(take(command, folder, environment))
        taken["open_clip, torch"] = [take(in_peer("open_clip_photos", folder), PROJECT)]
    for name, takens in taken.items():
        one = median(takens)
        print(f"{name:16} {one.seconds:7.2f} s {photos / one.seconds:8.1f} photos/s, peak {one.peak_mb:,.0f} MB")
    speed, rclips = (photos / median(taken[f"{program} first"]).seconds for program in ("pixsearch", "rclip"))
    share = speed / floor
    print(f"pixsearch / rclip {speed / rclips:.2f}; floor {floor:.1f} photos/s, of which pixsearch reaches {share:.0%}")
    return [
        Row("index", speed, "photos/s", "rclip", rclips),
        Row("index", speed, "photos/s", "the floor", floor),
    ]


def make_photos(pictures: Path, folder: Path, count: int) -> None:
    """Make distinct 12-megapixel JPEGs."""
    folder.mkdir()
    sources = [file for file in sorted(pictures.rglob("*")) if is_named_like_a_picture(os.fsencode(file))]
    with ProcessPoolExecutor() as processes:
        made = partial(_make_photo, sources, folder)
        for _ in processes.map(made, range(count), chunksize=8):
            pass


def _make_photo(sources: list[Path], folder: Path, number: int) -> None:
    cut, index = divmod(number, len(sources))
    with Image.open(sources[index]) as source:
        exif, picture = source.getexif(), source.convert("RGB")
    width, height = picture.size
    picture = picture.crop((cut * width // 100, cut * height // 100, width, height))
    size = (LONG_EDGE, SHORT_EDGE) if width >= height else (SHORT_EDGE, LONG_EDGE)
    photo = picture.resize(size, Image.Resampling.BICUBIC)
    photo.save(folder / f"IMG_{number:05}.jpg", quality=QUALITY, exif=exif)


def decoding_s(folder: Path) -> float:
    """Return the seconds that all cores need just to decode and scale the photos."""
    edge = PixelBertRuntime(find_checkpoint(None)).input_shape.input_size
    photos = sorted(folder.iterdir())
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as processes:
        began = time.perf_counter()
        for _ in processes.map(partial(_decode, edge), photos, chunksize=8):
            pass
        return time.perf_counter() - began


def _decode(edge: int, photo: Path) -> None:
    open_picture(photo, min_edge=edge)


def encoding_s(count: int) -> float:
    """Return the seconds that the network needs for the given number of pictures of its input size."""
    runtime = PixelBertRuntime(find_checkpoint(None))
    edge = runtime.input_shape.input_size
    noise = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), dtype=np.uint8)
    pictures = [Image.fromarray(noise)] * AT_ONCE
    runtime.encode_pictures(pictures)
    began = time.perf_counter()
    for _ in range(max(1, count // AT_ONCE)):
        runtime.encode_pictures(pictures)
    return (time.perf_counter() - began) * count / (max(1, count // AT_ONCE) * AT_ONCE)


if __name__ == "__main__":
    typer.run(main)
