"""Read the lines of text in one picture (OCR), by RapidOCR's PP-OCR models on OpenVINO. Runs in worker processes."""

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
"""The longer edge of the picture that lines are cut from: a line of a printed receipt then has 20 pixels."""
DETECTED_EDGE = 1280
"""The longer edge of the picture in which lines are detected: from 960 to 2000, the best one on screenshots
(docs/experiments.md)."""
LEAST_EDGE = 8
"""The shortest edge that is read. Less holds no letter, and RapidOCR would enlarge it to 30 pixels: a picture of
2000 x 1 would not fit into memory."""
LEAST_SCORE = 0.8
"""The least score of a line: below it most lines are not in any language (docs/experiments.md)."""
THREADS_EACH = 2
MOST_PROCESSES = 4
"""The most processes that read at once: each takes up to 1.5 GB."""

_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}
_NICENESS = 10


@dataclass(frozen=True, slots=True)
class NotRead:
    """The reason, in one line, why the text in a picture was not read."""

    reason: str
    for_good: bool
    """True if the cause is the picture itself, so reading it again would not help."""


Writing = tuple[str, ...] | NotRead
"""The lines in a picture, from top to bottom."""


def processes() -> int:
    """Return how many processes read in parallel."""
    return min(MOST_PROCESSES, max(1, cores() // THREADS_EACH))


def read_photo(photos: Sequence[StoredPhoto], digest: bytes, megapixels: int) -> Writing:
    """Read the lines in a picture, from the first of its photos that is unchanged.

    Raises PixsearchError if no picture can be read at all, because RapidOCR is incomplete.
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
    except Exception as error:  # noqa: BLE001 - one picture must not end a run of thousands, and it is reported
        return NotRead(f"unexpected {type(error).__name__}: {error}", for_good=True)


def lines_in(picture: Image.Image, reader: RapidOCR | None = None) -> tuple[str, ...]:
    """Read the lines in an RGB picture from top to bottom, without uncertain ones and those without letter or digit."""
    if min(picture.size) < LEAST_EDGE:
        return ()
    blue_first = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])  # the channel order of OpenCV
    found: Any = (reader or _reader())(blue_first, text_score=LEAST_SCORE)
    lines = (" ".join(line.split()) for line in found.txts or ())
    return tuple(line for line in lines if any(map(str.isalnum, line)))


def decoded_to_read(data: bytes, megapixels: int) -> Image.Image:
    """Decode a picture with its longer edge at most LONGEST_EDGE. Raises PictureError."""
    header = open_header(data, megapixels)
    scale = min(1.0, LONGEST_EDGE / max(header.size))
    picture, _ = decoded_picture(data, header, max(1, round(min(header.size) * scale)), megapixels)
    scale = min(1.0, LONGEST_EDGE / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


@cache
def _reader() -> RapidOCR:
    """Load RapidOCR once per process, with the models in its own package: nothing is ever downloaded."""
    from pixsearch.model.openvino_core import core  # before anything else imports OpenVINO

    import cv2  # isort: skip
    import rapidocr  # isort: skip
    from rapidocr.inference_engine.openvino import main as sessions  # isort: skip

    # A core of RapidOCR's own would end with it, and the next signal would crash the process.
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
            raise PixsearchError(f"the installed RapidOCR lacks its model {name}", f"Reinstall it with: {again}")
        settings |= {f"{task}.engine_type": rapidocr.EngineType.OPENVINO, f"{task}.model_path": str(file)}
    return rapidocr.RapidOCR(params=settings)
