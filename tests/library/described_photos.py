"""Libraries of photos with metadata, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from pixsearch import Library
from pixsearch.database.state import LibraryModel
from pixsearch.library.records import IndexedFile, NewContent
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp
from tests.colour_runtime import ColourRuntime

Colour = tuple[int, int, int]
ROOT = Path("/photos")


def store(
    library: Library,
    photos: Iterable[tuple[str, Colour, Metadata]],
    root: Path = ROOT,
) -> None:
    """Store one-coloured pictures by paths below the root, with their metadata.

    Pictures with the same colour and metadata are copies.
    """
    runtime, contents, files = ColourRuntime(), dict[bytes, NewContent](), []
    for name, colour, metadata in photos:
        digest = repr((colour, metadata)).encode()
        embeddings, grids = runtime.encode_pictures([Image.new("RGB", (8, 8), colour)])
        contents[digest] = NewContent(digest, 1, metadata, embeddings[0], grids[0])
        files.append(IndexedFile(os.fsencode(root / name), FileStamp(1, 1), digest))
    with library.writing() as writer:
        writer.use_model(LibraryModel(runtime.fingerprint, runtime.name, runtime.embedding_size))
        writer.store(writer.root_of(os.fsencode(root))[0], list(contents.values()), files, [])


def photos_with(library: Library, word: str) -> set[str]:
    """Return the names of the photos with this term."""
    ids = library.contents_saying([(word.encode(), word.encode() + b"\0")], 1000)
    return {path.name for one in library.candidates(ids.tolist()) for path in one.paths}
