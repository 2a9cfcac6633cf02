from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixsearch import Library
from pixsearch.database.state import LibraryModel
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp
from tests.colour_runtime import ColourRuntime

Colour = tuple[int, int, int]
Fill = Callable[[Mapping[str, Colour]], Library]


@pytest.fixture
def fill(tmp_path: Path) -> Iterator[Fill]:
    """Return a function that makes a library of single-coloured pictures from colours by file name.

    Pictures with the same colour are copies of each other.
    """
    libraries: list[Library] = []

    def fill_library(pictures: Mapping[str, Colour]) -> Library:
        runtime = ColourRuntime()
        library = Library.create(tmp_path / "library")
        libraries.append(library)
        with library.writing() as writer:
            writer.use_model(LibraryModel(runtime.fingerprint, runtime.name, runtime.embedding_size))
            contents, files = {}, []
            for name, colour in pictures.items():
                digest = hashlib.sha256(bytes(colour)).digest()
                embeddings, grids = runtime.encode_pictures([Image.new("RGB", (8, 8), colour)])
                contents[digest] = NewContent(digest, 1, Metadata("PNG", 8, 8), embeddings[0], grids[0])
                files.append(IndexedFile(os.fsencode(tmp_path / "photos" / name), FileStamp(1, 1), digest))
            root = writer.root_of(os.fsencode(tmp_path / "photos"))[0]
            writer.store(root, list(contents.values()), files, [])
        return library

    yield fill_library
    for library in libraries:
        library.close()


def random_colours(count: int) -> dict[str, Colour]:
    """Return `count` file names, each with a different colour."""
    drawn = np.random.default_rng(0).choice(255**3, size=count, replace=False)
    return {
        f"{number:04}.png": (1 + int(value) % 255, 1 + int(value) // 255 % 255, 1 + int(value) // 255**2)
        for number, value in enumerate(drawn)
    }
