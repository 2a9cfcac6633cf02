"""Kinds of files from public reports about other photo tools, each with the correct result and its origin.

Situations from those reports (drives that come and go, thumbnails, names, no home folder) are tested elsewhere:
tests/search/test_representative_photos.py, tests/search/test_engine.py, tests/search/test_filters.py,
tests/end_to_end.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixsearch.metadata import Metadata, merged
from pixsearch.model.config import InputShape
from pixsearch.pictures import open_header, open_picture
from pixsearch.storage import FileStamp, stamp_of
from pixsearch_indexer.load import LoadedFile, load_file
from pixsearch_indexer.metadata.reader import read_described, read_metadata
from pixsearch_indexer.metadata.sidecars import Sidecar, Sidecars, is_named_like_a_sidecar

FOLDER = Path(__file__).parent.parent / "real_files"
CHECKS: list[dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())["checks"]


def checks(kind: str) -> list[Any]:
    return [pytest.param(check, id=check["file"]) for check in CHECKS if check["type"] == kind]


def metadata_of(photo: Path) -> Metadata:
    """Return all metadata for a photo, from its own bytes and from the files next to it."""
    files = [os.fsencode(file) for file in photo.parent.iterdir()]
    beside = Sidecars(
        Sidecar(file, stamp_of(Path(os.fsdecode(file)))) for file in files if is_named_like_a_sidecar(file)
    )
    layers = read_described(os.fsencode(photo), beside.of(os.fsencode(photo.name)))
    return merged(read_metadata(open_header(photo)), layers)


@pytest.mark.parametrize("check", checks("meta"))
def test_a_photo_says_what_other_programs_read_in_it(check: dict[str, Any]) -> None:
    metadata = metadata_of(FOLDER / check["file"])

    for name, expected in check["want"].items():
        found = getattr(metadata, name)
        if name == "taken_at":
            assert found is not None
            assert found.isoformat().startswith(expected)
        elif name == "keywords":
            assert set(expected) <= set(found)
        elif name in ("latitude", "longitude"):
            assert found == (None if expected is None else pytest.approx(expected, abs=1e-3))
        else:
            assert found == expected


@pytest.mark.parametrize("check", checks("indexed") + checks("same_as"))
def test_a_picture_that_others_can_read_is_read(check: dict[str, Any]) -> None:
    loaded = load_file(os.fsencode(FOLDER / check["file"]), FileStamp(1, 1), True, InputShape(64, 64, "squash"), 300)

    assert isinstance(loaded, LoadedFile), loaded
    assert loaded.decoded is not None
    assert loaded.decoded.pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("check", checks("same_as"))
def test_a_picture_of_a_scanner_looks_like_its_twin(check: dict[str, Any]) -> None:
    found, twin = (np.asarray(open_picture(FOLDER / check[name]), np.float32) for name in ("file", "as"))

    # Differences up to 12 occur because ImageMagick converts some of the pictures through linear light.
    assert abs(found - twin).mean() < 13
