"""Load one file: from its bytes to what the encoder needs. Runs in worker processes, see `pixsearch.decoding`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import PictureError
from pixsearch.library.photo_files import content_digest
from pixsearch.library.precedence import Layer
from pixsearch.library.records import Description, FailedFile, Metadata, NewContent
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
    """What a file's content is, apart from its digest."""

    size_bytes: int
    metadata: Metadata
    pixels: NDArray[np.uint8]
    """[rows, columns, 3], as the network sees them."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file that was read. Where only its digest was asked for, it has neither picture nor content."""

    path: bytes
    stamp: FileStamp
    digest: bytes
    decoded: DecodedPicture | None
    content: NewContent | None = None
    """The picture encoded, where whoever decoded it did that as well."""
    metadata: Metadata | None = None
    """What its content says, where that alone was asked for."""
    beside: Mapping[Layer, Description] = field(default_factory=dict)
    """What the files beside it and its name say."""
    sidecars: bytes | None = None
    """The stamp of those files."""
    thumbnail: bytes | None = None
    """The small one, of a file that was decoded; see `small_thumbnail`."""

    def needs_decoding(self, encoded: Collection[bytes]) -> bool:
        """Whether only the digest was requested, and no encoded content has it."""
        return self.decoded is None and self.content is None and self.metadata is None and self.digest not in encoded


def load_file(
    path: bytes,
    stamp: FileStamp,
    decode: bool,
    shape: InputShape,
    megapixels: int,
    sidecars: Sequence[Sidecar] = (),
) -> LoadedFile | FailedFile | None:
    """Read a file, and perhaps `decode` it to the `shape` of what the network sees. None for a file that is gone.

    Digest, metadata and pixels come from the same bytes. The stamp is the one seen before they were read: a file that
    somebody writes to meanwhile looks changed to the next run. A file that is cut short is taken as far as it goes, if
    that is half of it, and its metadata say so.
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
    """Read the metadata alone of a file that has not changed, and of what lies beside it; nothing is decoded.

    None where that fails, and where the file has changed by now: the photo stays as it is known.
    """
    try:
        file = to_path(path)
        data = read_picture_file(file, stamp.size_bytes)
        if len(data) != stamp.size_bytes or (not is_remote(path) and stamp_of(file) != stamp):
            return None  # what it says must not be put down to the content of before
        metadata = read_metadata(open_header(data, megapixels), data)
    except Exception:  # noqa: BLE001 - it was read before; whatever is wrong now, the next look at the file will tell
        return None
    beside = read_described(path, sidecars)
    return LoadedFile(path, stamp, digest, None, metadata=metadata, beside=beside, sidecars=sidecars_stamp(sidecars))
