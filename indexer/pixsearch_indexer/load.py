"""One file, from its bytes to what the encoder wants of it. Runs in threads, ahead of the encoder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pixsearch.errors import PictureError
from pixsearch.library.records import FailedFile, FileStamp, Metadata
from pixsearch.pictures import open_header, read_picture_file, upright_rgb
from pixsearch_indexer.metadata import read_metadata


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """What a file's content is, apart from its digest."""

    size_bytes: int
    metadata: Metadata
    picture: Image.Image


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that was read. `decoded` is None where its content is encoded already."""

    path: bytes
    stamp: FileStamp
    digest: bytes
    decoded: DecodedPicture | None


def load_file(
    path: bytes, stamp: FileStamp, encoded: Collection[bytes], min_edge: int
) -> LoadedFile | FailedFile | None:
    """Read a file, and decode it unless its digest is among the `encoded` ones. None for a file that is gone.

    Digest, metadata and pixels come from the same bytes. The stamp is the one seen before they were read: a file that
    somebody writes to meanwhile looks changed to the next run.
    """
    try:
        data = read_picture_file(Path(os.fsdecode(path)))
        digest = hashlib.blake2b(data, digest_size=32).digest()
        if digest in encoded:
            return LoadedFile(path, stamp, digest, None)
        header = open_header(data)
        metadata = read_metadata(header)
        return LoadedFile(path, stamp, digest, DecodedPicture(len(data), metadata, upright_rgb(header, min_edge)))
    except FileNotFoundError:
        return None
    except OSError as error:
        # No fault of the content (a share that is gone, a permission): without a stamp, so that it is tried again.
        return FailedFile(path, None, f"cannot be read: {error.strerror}")
    except PictureError as error:
        return FailedFile(path, stamp, error.message)
