"""Measure how often the map of a word points at the right object, for photos with labelled boxes.

    python benchmarks/pointing.py --album album/images

pointing.json contains two lists of 20 photos with a word and its boxes, which were labelled before any map was seen.
Methods were compared on the first list, and the chosen one was confirmed on the second. A box is given as left, top,
right and bottom, as fractions of the photo. A map is a hit if its maximum is in a box, or within a quarter of a grid
cell of one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pixsearch.model.checkpoints import find_checkpoint
from pixsearch.model.runtime import PixelBertRuntime
from pixsearch.pictures import open_picture
from pixsearch.search.explain import explain_picture

PAIRS = Path(__file__).with_suffix(".json")
_MARGIN = 0.03
_UPPER = 0.9
"""The quantile above which map cells count towards the share in the box. They cover a tenth of the photo."""


def main(
    album: Annotated[Path, typer.Option(help="Folder with the photos.")],
    model: Annotated[str | None, typer.Option(help="See pixsearch query.")] = None,
) -> None:
    runtime = PixelBertRuntime(find_checkpoint(model))
    print("list     hits    in the box    by chance   misses")
    for name, pairs in json.loads(PAIRS.read_text(encoding="utf-8")).items():
        missed, shares, areas = [], [], []
        for photo, query, word, boxes in pairs:
            explanation = explain_picture(runtime, query, open_picture(album / photo))
            found = explanation.maps[explanation.words.index(word)]
            inside, near = inside_boxes(boxes, found.shape), inside_boxes(boxes, found.shape, _MARGIN)
            shares.append(inside[found >= np.quantile(found, _UPPER)].mean())
            areas.append(inside.mean())
            if not near.flat[found.argmax()]:
                missed.append(word)
        hits = f"{len(pairs) - len(missed)}/{len(pairs)}"
        print(f"{name:8} {hits} {np.mean(shares):11.0%} {np.mean(areas):12.0%}   {', '.join(missed)}")


def inside_boxes(boxes: list[list[float]], shape: tuple[int, ...], margin: float = 0.0) -> NDArray[np.bool_]:
    """Return a mask [rows, columns] of the map cells whose centre is in a box or within the margin of one."""
    down, across = ((np.arange(cells) + 0.5) / cells for cells in shape)
    inside = np.zeros(shape, np.bool_)
    for left, top, right, bottom in boxes:
        rows, columns = (
            (down >= top - margin) & (down <= bottom + margin),
            (across >= left - margin) & (across <= right + margin),
        )
        inside |= rows[:, None] & columns
    return inside


if __name__ == "__main__":
    typer.run(main)
