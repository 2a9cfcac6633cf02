"""Load a file and turn it into input for the encoder. Runs in worker processes; see `pixsearch.decoding`."""

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
    """The network input [rows, columns, 3]."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that was read. If only its digest was requested, `decoded` and `content` are None."""

    path: bytes
    stamp: FileStamp
    digest: bytes
    decoded: DecodedPicture | None
    content: NewContent | None = None
    """The encoded picture, if the process that decoded it also encoded it."""
    metadata: Metadata | None = None
    """The metadata from the file, if nothing else was requested."""
    beside: Mapping[Layer, Description] = field(default_factory=dict)
    """The descriptions from the sidecars and the file name."""
    sidecars: bytes | None = None
    """The stamp of the sidecars."""
    thumbnail: bytes | None = None
    """The small thumbnail of a decoded file; see `small_thumbnail`."""

    def needs_decoding(self, encoded: Collection[bytes]) -> bool:
        """Return whether only the digest was read and it is not in `encoded`."""
        return self.decoded is None and self.content is None and self.metadata is None and self.digest not in encoded


def load_file(
    path: bytes,
    stamp: FileStamp,
    decode: bool,
    shape: InputShape,
    megapixels: int,
    sidecars: Sequence[Sidecar] = (),
) -> LoadedFile | FailedFile | None:
    """Read a file and, if `decode` is true, decode it to the network's input shape. Return None if the file is gone.

    The digest, metadata and pixels all come from the same bytes. The stamp was taken before the file was read, so the
    next run detects a change that was made in the meantime. A truncated file is used if at least half of the picture
    can be decoded. Its metadata records the share that was decoded.
    """
    try:
        data = read_picture_file(to_path(path), stamp.size_bytes)
        digest = content_digest(data)
        beside = read_described(path, sidecars)
        if not decode:
            return LoadedFile(path, stamp, digest, None, beside=beside, sidecars=sidecars_stamp(sidecars))
        header = open_header(data, megapixels)
        size = header.size  # before decoding: a decoder that scales down reports the smaller size
        metadata = read_metadata(header, data)
        picture, share = decoded_picture(data, header, shape.input_size, megapixels)
        metadata = replace(metadata, share_decoded=share)
        # Done here and not in the encoder, to use all cores and to send less than half as many bytes between processes.
        pixels = np.asarray(as_seen(picture, shape))
        decoded_as = DecodedPicture(len(data), metadata, pixels)
        thumbnail, beside_stamp = small_thumbnail(picture, size), sidecars_stamp(sidecars)
        return LoadedFile(path, stamp, digest, decoded_as, beside=beside, sidecars=beside_stamp, thumbnail=thumbnail)
    except FileNotFoundError:
        return None
    except OSError as error:
        # The content is not at fault (offline network share, missing permission): no stamp, so that it is tried again.
        return FailedFile(path, None, f"cannot be read: {error.strerror}")
    except PictureError as error:
        return FailedFile(path, stamp, error.message)
    except MemoryError:
        return FailedFile(path, stamp, "takes more memory to decode than a photo should")
    except Exception as error:  # noqa: BLE001 - one damaged file must not end a run of thousands
        return FailedFile(path, stamp, f"cannot be read: unexpected {type(error).__name__}: {error}")


def describe_file(
    path: bytes, stamp: FileStamp, digest: bytes, megapixels: int, sidecars: Sequence[Sidecar] = ()
) -> LoadedFile | None:
    """Read only the metadata of an unchanged file and its sidecars, without decoding the picture.

    Return None if this fails or the file has changed in the meantime. The library then keeps its existing metadata.
    """
    try:
        file = to_path(path)
        data = read_picture_file(file, stamp.size_bytes)
        if len(data) != stamp.size_bytes or (not is_remote(path) and stamp_of(file) != stamp):
            return None  # new metadata must not be recorded for the old content
        metadata = read_metadata(open_header(data, megapixels), data)
    except Exception:  # noqa: BLE001 - it was readable before; the next run that loads the file reports the error
        return None
    beside = read_described(path, sidecars)
    return LoadedFile(path, stamp, digest, None, metadata=metadata, beside=beside, sidecars=sidecars_stamp(sidecars))
