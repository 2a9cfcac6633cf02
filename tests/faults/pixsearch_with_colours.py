"""The `pixsearch` command with a model that needs no torch, run as a process that may be killed or starved.

COLOURS_LOG names a file that gets a line for each picture, with the time at which its encoding began; COLOURS_PACE_S is
what a picture takes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

import pixsearch.model.checkpoints
import pixsearch_indexer
from pixsearch_cli.main import main
from tests.colour_runtime import ColourRuntime, Floats


class SlowColours(ColourRuntime):
    def encode_pictures(self, pictures: Sequence[Image.Image]) -> tuple[Floats, list[bytes]]:
        if log := os.environ.get("COLOURS_LOG"):
            with Path(log).open("a") as file:
                for picture in pictures:
                    red, green, blue = np.asarray(picture)[0, 0]
                    file.write(f"{time.time()} {red},{green},{blue}\n")
        time.sleep(float(os.environ.get("COLOURS_PACE_S", "0")) * len(pictures))
        return super().encode_pictures(pictures)


if __name__ == "__main__":
    pixsearch.model.checkpoints.find_checkpoint = lambda name: Path(name or "shipped")
    pixsearch_indexer.CheckpointEncoder = lambda checkpoint: SlowColours()  # type: ignore[assignment, misc, return-value]
    sys.modules["pixsearch.model.runtime"] = SimpleNamespace(PixelBertRuntime=lambda folder, gpu=True: SlowColours())  # type: ignore[assignment]
    main()
