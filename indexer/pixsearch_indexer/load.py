"""Load one file: turn its bytes into input for the encoder. Runs in worker processes, see `pixsearch.decoding`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import PictureError
from pixsearch.library.photo_files import content_digest
from pixsearch.library.records import FailedFile, NewContent
from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.model.config import InputShape
from pixsearch.picture_files import read_picture_file
from pixsearch.pictures import as_seen, open_header
from pixsearch.storage import FileStamp, is_remote, stamp_of, to_path
from pixsearch_indexer.metadata.reader import read_described, read_metadata
from pixsearch_indexer.metadata.sidecars import Sidecar, sidecars_stamp
from pixsearch_indexer.salvage import decoded_picture
from pixsearch_indexer.thumbnails import small_thumbnail


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """The decoded content of a file, without its digest."""

    size_bytes: int
    metadata: Metadata
    pixels: NDArray[np.uint8]
    """The input of the network [rows, columns, 3]."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that was read. If only its digest was requested, it has neither picture nor content."""

    path: bytes
    stamp: FileStamp
    digest: bytes
    decoded: DecodedPicture | None
    content: NewContent | None = None
    """The encoded picture, if the process that decoded it also encoded it."""
    metadata: Metadata | None = None
    """The metadata in the file, if only those were requested."""
    beside: Mapping[Layer, Description] = field(default_factory=dict)
    """The descriptions in its sidecars and in its name."""
    sidecars: bytes | None = None
    """The stamp of the sidecars."""
    thumbnail: bytes | None = None
    """The small thumbnail of a decoded file; see `small_thumbnail`."""

    def needs_decoding(self, encoded: Collection[bytes]) -> bool:
        """Return whether only the digest was read, and no encoded content has it."""
        return self.decoded is None and self.content is None and self.metadata is None and self.digest not in encoded


def load_file(
    path: bytes,
    stamp: FileStamp,
    decode: bool,
    shape: InputShape,
    megapixels: int,
    sidecars: Sequence[Sidecar] = (),
) -> LoadedFile | FailedFile | None:
    """Read a file, and `decode` it to the input `shape` of the network if requested. Return None if the file is gone.

    Digest, metadata and pixels come from the same bytes. The stamp is the one from before they were read: a file that
    is written to meanwhile looks changed to the next run. A truncated file is used as far as it goes, if that is at
    least half of it, and its metadata record the share.
    """
    try:
        data = read_picture_file(to_path(path), stamp.size_bytes)
        digest = content_digest(data)
        beside = read_described(path, sidecars)
        if not decode:
            return LoadedFile(path, stamp, digest, None, beside=beside, sidecars=sidecars_stamp(sidecars))
        header = open_header(data, megapixels)
        size = header.size  # before it is decoded: a decoder that scales down says the smaller one
        metadata = read_metadata(header, data)
        picture, share = decoded_picture(data, header, shape.input_size, megapixels)
        metadata = replace(metadata, share_decoded=share)
        # Here and not by the encoder: it is done on all cores, and less than half as many bytes leave the process.
        pixels = np.asarray(as_seen(picture, shape))
        decoded_as = DecodedPicture(len(data), metadata, pixels)
        thumbnail, beside_stamp = small_thumbnail(picture, size), sidecars_stamp(sidecars)
        return LoadedFile(path, stamp, digest, decoded_as, beside=beside, sidecars=beside_stamp, thumbnail=thumbnail)
    except FileNotFoundError:
        return None
    except OSError as error:
        # No fault of the content (a share that is gone, a permission): without a stamp, so that it is tried again.
        return FailedFile(path, None, f"cannot be read: {error.strerror}")
    except PictureError as error:
        return FailedFile(path, stamp, error.message)
    except MemoryError:
        return FailedFile(path, stamp, "takes more memory to decode than a photo should")
    except Exception as error:  # noqa: BLE001 - one file's damage must not end a run of thousands, and is recorded here
        return FailedFile(path, stamp, f"cannot be read: unexpected {type(error).__name__}: {error}")


def describe_file(
    path: bytes, stamp: FileStamp, digest: bytes, megapixels: int, sidecars: Sequence[Sidecar] = ()
) -> LoadedFile | None:
    """Read only the metadata of an unchanged file and of its sidecars; nothing is decoded.

    Return None if that fails, or if the file has changed in the meantime; the library then keeps the metadata it has.
    """
    try:
        file = to_path(path)
        data = read_picture_file(file, stamp.size_bytes)
        if len(data) != stamp.size_bytes or (not is_remote(path) and stamp_of(file) != stamp):
            return None  # these metadata must not be recorded for the previous content
        metadata = read_metadata(open_header(data, megapixels), data)
    except Exception:  # noqa: BLE001 - it was read before; whatever is wrong now, the next look at the file will tell
        return None
    beside = read_described(path, sidecars)
    return LoadedFile(path, stamp, digest, None, metadata=metadata, beside=beside, sidecars=sidecars_stamp(sidecars))
