"""What goes into the library and comes out of it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """The model that made the features a library holds."""

    fingerprint: str
    name: str
    embedding_size: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a picture's file says about the picture. Width and height are those of the upright picture, in full size."""

    format: str
    width: int
    height: int
    taken_at: datetime | None = None
    """With a zone only where the file names one."""
    camera: str | None = None
    title: str | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture of the first stage, with all that the second stage and a hit need."""

    content_id: int
    paths: tuple[Path, ...]
    """Every photo with this content; those that can be reached first, then by name. Never empty."""
    metadata: Metadata
    embedding: NDArray[np.float32]
    grid: bytes


@dataclass(frozen=True, slots=True)
class RootStatus:
    """One indexed folder. Offline: not there, or empty where photos are known; its photos are kept."""

    path: Path
    online: bool
    photos: int


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """What a library holds."""

    library: Path
    model: LibraryModel | None
    roots: tuple[RootStatus, ...]
    photos: int
    contents: int
    failures: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A file (or a folder) that could not be indexed, and why, in one line."""

    path: Path
    reason: str
    when: datetime


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo that somebody described. `captions` is never empty."""

    path: Path
    captions: tuple[str, ...]


class FileStamp(NamedTuple):
    """What tells cheaply that a file has not changed."""

    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class NewContent:
    """A picture the library does not know yet, encoded."""

    digest: bytes
    size_bytes: int
    metadata: Metadata
    embedding: NDArray[np.float32]
    grid: bytes


class IndexedFile(NamedTuple):
    """A file and the digest of the content it was found to hold."""

    path: bytes
    stamp: FileStamp
    digest: bytes


class FailedFile(NamedTuple):
    """A file that could not be indexed. With a stamp it is tried again only when it changed, without one every time."""

    path: bytes
    stamp: FileStamp | None
    reason: str
