"""The `pixsearch` command with a model that needs no torch, run as a process that may be killed or starved.

Checkpoints need no folders: every name except `colours`, the built-in model, is a different model. A different
COLOURS_VERSION also changes the built-in model, as an upgrade does.

COLOURS_LOG names a file that gets a line for each picture, with the time when its encoding began. COLOURS_PACE_S is
the time that a picture takes.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

import pixsearch.model.checkpoints
import pixsearch_indexer
from pixsearch_cli.main import main
from tests.colour_runtime import ColourRuntime, Floats


class SlowColours(ColourRuntime):
    def __init__(self, folder: Path) -> None:
        version = os.environ.get("COLOURS_VERSION", "1") if folder.name == "colours" else folder.name
        super().__init__() if version == "1" else super().__init__(hashlib.sha256(version.encode()).hexdigest())
        self.name = folder.name

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> tuple[Floats, list[bytes]]:
        if log := os.environ.get("COLOURS_LOG"):
            with Path(log).open("a") as file:
                for picture in pixels:
                    red, green, blue = picture[0, 0]
                    file.write(f"{time.time()} {red},{green},{blue}\n")
        time.sleep(float(os.environ.get("COLOURS_PACE_S", "0")) * len(pixels))
        return super().encode_pixels(pixels)


if __name__ == "__main__":
    pixsearch.model.checkpoints.find_checkpoint = lambda name: Path(name or "colours")
    pixsearch.model.checkpoints.fingerprint = lambda folder: SlowColours(folder).fingerprint
    pixsearch_indexer.CheckpointEncoder = SlowColours  # type: ignore[assignment, misc]
    runtime = SimpleNamespace(load_runtime=lambda folder, gpu=True: SlowColours(folder))
    sys.modules["pixsearch.model.load_runtime"] = runtime  # type: ignore[assignment]
    main()
