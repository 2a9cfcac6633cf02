"""Measure how well small copies of pictures identify near-duplicates, for models without pixel grids.

    python -m benchmarks.small_copies --pictures album/images --others flickr8k/images [--others more/images]

Each picture is compared with modified copies of itself, and the other pictures are compared with each other. Pictures
are preprocessed as for a model that crops the centre (CLIP) and as for one that squashes them to a square (SigLIP).
Correlations are computed from the pixels and from the differences between neighbouring pixels. The latter is what
`pixsearch.model.likeness` does. A search also requires that the embeddings are near each other, which is not tested.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageEnhance

from benchmarks.measuring import print_machine
from pixsearch.model.config import InputShape
from pixsearch.model.likeness import CORRELATED, Floats, pack_small, unit_steps, unpack_small
from pixsearch.pictures import as_seen, open_picture

LONGEST = 1000
SQUASHED = InputShape(224, 0, "squash")
SHAPES = {"cropped": InputShape(224, 0, "shorter_edge", "bicubic", (224, 224)), "squashed": SQUASHED}
QUANTILES = 0, 0.05, 0.25, 0.5
BOUNDS = 0.7, 0.75, CORRELATED, 0.85, 0.9, 0.95
AT_ONCE = 1000


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of pictures to compare with modified copies.")],
    others: Annotated[list[Path], typer.Option(help="Folder of pictures to compare with each other; may be repeated.")],
) -> None:
    print_machine()
    photos = [_opened(file) for file in sorted(pictures.iterdir())]
    for shown, shape in SHAPES.items():
        small = _small(photos, shape)
        print(f"\n{len(photos)} photos, {shown}: correlation with a copy, minimum and quantiles 5, 25 and 50 %")
        for kind, change in CHANGES.items():
            changed = _small([change(photo) for photo in photos], shape)
            found = {name: (unit(small) * unit(changed)).sum(1) for name, unit in MEASURES.items()}
            columns = [
                f"{name} {' '.join(f'{one:.2f}' for one in np.quantile(by, QUANTILES))}" for name, by in found.items()
            ]
            print(f"{kind:24}", *columns, f"{(found['steps'] < CORRELATED).sum()} below {CORRELATED}", sep="  ")
    files = [file for folder in others for file in sorted(folder.iterdir())]
    small = unpack_small([_packed(open_picture(file, min_edge=SQUASHED.input_size), SQUASHED) for file in files])
    print(f"\npairs of {len(files):,} other pictures with a correlation of at least", *BOUNDS)
    for name, unit in MEASURES.items():
        print(f"{name:24}", *(f"{count:,}" for count in _pairs_above(unit(small))))


def _by_pixels(pixels: Floats) -> Floats:
    centred = pixels.reshape(len(pixels), -1)
    centred = centred - centred.mean(1, keepdims=True)
    units: Floats = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return units


MEASURES: Mapping[str, Callable[[Floats], Floats]] = {"pixels": _by_pixels, "steps": unit_steps}


def _pairs_above(units: Floats) -> list[int]:
    counts = np.zeros(len(BOUNDS), int)
    for start in range(0, len(units), AT_ONCE):
        correlations = units[start : start + AT_ONCE] @ units[start:].T
        correlations[np.tril_indices(len(correlations), 0, correlations.shape[1])] = -1  # each pair once
        counts += [(correlations >= bound).sum() for bound in BOUNDS]
    return [int(count) for count in counts]


def _opened(file: Path) -> Image.Image:
    picture = open_picture(file, min_edge=LONGEST // 2)
    picture.thumbnail((LONGEST, LONGEST))
    return picture


def _small(photos: list[Image.Image], shape: InputShape) -> Floats:
    return unpack_small([_packed(photo, shape) for photo in photos])


def _packed(photo: Image.Image, shape: InputShape) -> bytes:
    return pack_small(np.asarray(as_seen(photo, shape)))


def _scaled(picture: Image.Image, by: float) -> Image.Image:
    return picture.resize((round(picture.width * by), round(picture.height * by)))


def _compressed(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return open_picture(file.getvalue())


def _cut(picture: Image.Image, share: float) -> Image.Image:
    across, down = round(picture.width * share), round(picture.height * share)
    return picture.crop((across, down, picture.width - across, picture.height - down))


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 20": lambda picture: _compressed(picture, 20),
    "half the size": lambda picture: _scaled(picture, 0.5),
    "a quarter, quality 30": lambda picture: _compressed(_scaled(picture, 0.25), 30),
    "a fifth brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.2),
    "2 % cut off each side": lambda picture: _cut(picture, 0.02),
    "5 % cut off each side": lambda picture: _cut(picture, 0.05),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


if __name__ == "__main__":
    typer.run(main)
