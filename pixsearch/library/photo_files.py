"""Open the files of indexed photos to show, copy or decode them, if they have not changed since they were indexed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from pixsearch.errors import PictureError
from pixsearch.library.records import StoredPhoto
from pixsearch.picture_files import FILE_LIMIT_BYTES
from pixsearch.regular_files import open_below, open_regular
from pixsearch.storage import FileStamp, path_bytes, read_file, stamp_of

OpenFile: TypeAlias = "io.BufferedReader | io.BytesIO"
"""A file on this machine, or an object downloaded from object storage."""

_INDEX_AGAIN = "run pixsearch index"


def content_digest(data: bytes) -> bytes:
    """Return the 256-bit BLAKE2b digest that identifies a file's content."""
    return _blake2b(data).digest()


def open_photo(photo: StoredPhoto, digest: bytes) -> OpenFile:
    """Open the file of a photo if it is still the file that was indexed.

    Its size, time and content must be the same, and its path must not go through a new link. The open file stays the
    same even if another file takes its name. Raises PictureError with the reason.
    """
    try:
        file, stamp = _opened(photo)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PictureError("the file no longer exists") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PictureError(f"a link has replaced the file or its folder: {_INDEX_AGAIN}") from error
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    try:
        if stamp != photo.stamp:
            raise PictureError(f"the file has changed since it was indexed: {_INDEX_AGAIN}")
        if hashlib.file_digest(file, _blake2b).digest() != digest:
            raise PictureError(
                "the file's content has changed, though its size and time have not: run pixsearch repair --deep"
            )
        file.seek(0)
    except OSError as error:
        file.close()
        raise PictureError(f"cannot be read: {error.strerror}") from error
    except BaseException:
        file.close()
        raise
    return file


def open_first(photos: Iterable[StoredPhoto], digest: bytes) -> tuple[StoredPhoto, OpenFile]:
    """Open the first unchanged photo of a picture. If there is none, raise PictureError with the first reason."""
    first: PictureError | None = None
    for photo in photos:
        try:
            return photo, open_photo(photo, digest)
        except PictureError as error:
            first = first or error
    raise first or PictureError("the picture is no longer in the library")


def read_first(photos: Iterable[StoredPhoto], digest: bytes) -> bytes:
    """Read the first of a picture's photos that has not changed since it was indexed. Raises PictureError."""
    _, file = open_first(photos, digest)
    with file:
        try:
            return file.read()
        except OSError as error:
            raise PictureError(f"cannot be read: {error.strerror}") from error


def _opened(photo: StoredPhoto) -> tuple[OpenFile, FileStamp]:
    """Open the file of a photo, and return the file and its current stamp. Raises OSError."""
    path = photo.path
    if not isinstance(path, Path):
        return io.BytesIO(read_file(path, FILE_LIMIT_BYTES, photo.stamp.size_bytes)), stamp_of(path)
    file = open_regular(path) if photo.folder is None else open_below(photo.folder, path_bytes(path))
    found = os.fstat(file.fileno())
    return file, FileStamp(found.st_size, found.st_mtime_ns)


def _blake2b(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=32)
