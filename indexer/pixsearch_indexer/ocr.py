"""Read the lines of text in a picture (OCR) with RapidOCR's PP-OCR models on OpenVINO. Runs in worker processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pixsearch.decoding import cores
from pixsearch.errors import PictureError, PixsearchError
from pixsearch.extras import pip
from pixsearch.library.photo_files import read_first
from pixsearch.library.records import StoredPhoto
from pixsearch.pictures import open_header
from pixsearch_indexer.salvage import decoded_picture

if TYPE_CHECKING:
    from rapidocr import RapidOCR

LONGEST_EDGE = 2000
"""The longer edge, in pixels, of the picture from which lines are cut. A line on a printed receipt is then 20 pixels
high."""
DETECTED_EDGE = 1280
"""The longer edge, in pixels, of the picture in which lines are detected. Of the values from 960 to 2000 that were
tried, this one was best on screenshots (docs/experiments.md)."""
LEAST_EDGE = 8
"""The minimum edge, in pixels, of a picture that is read. Smaller pictures cannot contain letters, and RapidOCR would
enlarge the edge to 30 pixels: a picture of 2000 x 1 would not fit into memory."""
LEAST_SCORE = 0.8
"""The minimum score of a line. Most lines with a lower score contain no real words (docs/experiments.md)."""
THREADS_EACH = 2
MOST_PROCESSES = 4
"""The maximum number of processes that read in parallel. Each uses up to 1.5 GB of memory."""

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class NotRead:
    """The reason why the text in a picture was not read, on one line."""

    reason: str
    for_good: bool
    """True if the picture itself is the cause, so that reading it again would not help."""


Writing = tuple[str, ...] | NotRead
"""The lines in a picture, from top to bottom."""


def processes() -> int:
    """Return the number of processes that read in parallel."""
    return min(MOST_PROCESSES, max(1, cores() // THREADS_EACH))


def read_photo(photos: Sequence[StoredPhoto], digest: bytes, megapixels: int) -> Writing:
    """Read the lines of text in the first unchanged photo of a picture.

    Raises PixsearchError if the RapidOCR installation is incomplete.
    """
    reader = _reader()
    try:
        data = read_first(photos, digest)
    except PictureError as error:
        return NotRead(error.message, for_good=False)
    try:
        return lines_in(decoded_to_read(data, megapixels), reader)
    except PictureError as error:
        return NotRead(error.message, for_good=True)
    except MemoryError:
        return NotRead("takes more memory to read than a photo should", for_good=True)
    except Exception as error:  # noqa: BLE001 - one picture must not end a run of thousands
        return NotRead(f"unexpected {type(error).__name__}: {error}", for_good=True)


def lines_in(picture: Image.Image, reader: RapidOCR | None = None) -> tuple[str, ...]:
    """Read the lines in an RGB picture from top to bottom. Skip uncertain lines and lines without letters or digits."""
    if min(picture.size) < LEAST_EDGE:
        return ()
    blue_first = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])  # the channel order of OpenCV
    found: Any = (reader or _reader())(blue_first, text_score=LEAST_SCORE)
    lines = (" ".join(line.split()) for line in found.txts or ())
    return tuple(line for line in lines if any(map(str.isalnum, line)))


def decoded_to_read(data: bytes, megapixels: int) -> Image.Image:
    """Decode a picture so that its longer edge is at most LONGEST_EDGE. Raises PictureError."""
    header = open_header(data, megapixels)
    scale = min(1.0, LONGEST_EDGE / max(header.size))
    picture, _ = decoded_picture(data, header, max(1, round(min(header.size) * scale)), megapixels)
    scale = min(1.0, LONGEST_EDGE / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


@cache
def _reader() -> RapidOCR:
    """Load RapidOCR once per process, with the models from its own package, so that nothing is downloaded."""
    from pixsearch.model.openvino_core import core  # before anything else imports OpenVINO

    import cv2  # isort: skip
    import rapidocr  # isort: skip
    from rapidocr.inference_engine.openvino import main as sessions  # isort: skip

    # RapidOCR would destroy a core of its own, and the next signal would crash the process; see `core`.
    sessions.Core = core  # type: ignore[attr-defined]
    cv2.setNumThreads(1)
    os.nice(_NICENESS)  # searches and indexing take precedence
    folder = Path(rapidocr.__file__).parent / "models"
    settings: dict[str, Any] = {
        "Global.log_level": "critical",
        "Global.max_side_len": LONGEST_EDGE,
        "EngineConfig.openvino.inference_num_threads": min(THREADS_EACH, cores()),
        "Det.limit_type": "max",
        "Det.limit_side_len": DETECTED_EDGE,
    }
    for task, name in _MODELS.items():
        if not (file := folder / name).is_file():
            again = pip("install", "--force-reinstall", "pixsearch[ocr]")
            raise PixsearchError(f"RapidOCR is installed without its model {name}", f"Reinstall with: {again}")
        settings |= {f"{task}.engine_type": rapidocr.EngineType.OPENVINO, f"{task}.model_path": str(file)}
    return rapidocr.RapidOCR(params=settings)
