"""Plain data classes for reading from and writing to a library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.storage import FilePath, FileStamp

if TYPE_CHECKING:  # numpy takes 0.1 s to import, and a run without new photos does not need it
    import numpy as np
    from numpy.typing import NDArray

    from pixsearch.database.state import LibraryModel


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Switch:
    """An unfinished switch to a different model. Contents without photos are not counted."""

    model: LibraryModel
    """The new model."""
    to_encode: int
    """The number of contents that the new model has not encoded yet."""
    offline: int
    """The number of contents to encode that are only in offline folders."""
    seconds: float
    """The estimated time to encode the remaining contents."""
    searched: bool
    """True if searches already use the new model because the old one is gone."""


class TimelinePart(NamedTuple):
    """Consecutive pictures in the timeline, either from one day, or undated and from one folder."""

    day: str | None
    """The day, such as 2021-03-15, or None for undated pictures."""
    folder: FilePath | None
    """The folder of undated pictures, or None for dated ones."""
    first: int
    """The id of the first picture."""
    pictures: int
    """The number of pictures."""


class TimelinePicture(NamedTuple):
    """A picture in the timeline."""

    content_id: int
    day: str | None
    """The day of the `TimelinePart` that contains the picture."""
    folder: FilePath | None
    paths: tuple[FilePath, ...]
    """The paths, as in `Candidate`. Empty if the rows for the picture are damaged."""
    metadata: Metadata | None
    """The metadata for the first path."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture from the first search stage, with the data for a hit. The second stage also reads `Library.grids`."""

    content_id: int
    paths: tuple[FilePath, ...]
    """The paths of all photos with this content. Never empty.

    Photos that pass the filters come first, then photos in online folders. Ties are sorted by path.
    """
    metadata: Metadata
    """The metadata for the first path."""
    embedding: NDArray[np.float32]
    metadata_by_path: tuple[Metadata, ...] = ()
    """The metadata for each path, because copies of a picture may have different sidecars. Empty if all are equal."""
    passing: int = -1
    """The number of paths that pass the filters. A negative number means all of them."""

    def photos(self) -> Iterator[tuple[FilePath, Metadata]]:
        """Yield the photos that pass the filters, each with its metadata."""
        passing = len(self.paths) if self.passing < 0 else self.passing
        by_path = self.metadata_by_path or (self.metadata,) * len(self.paths)
        yield from zip(self.paths[:passing], by_path, strict=False)

    def shown_first(self, index: int) -> Candidate:
        """Return the candidate with the path at this index moved to the front."""
        if index == 0:
            return self

        def in_front(values: tuple[Value, ...]) -> tuple[Value, ...]:
            return (values[index], *values[:index], *values[index + 1 :]) if values else values

        by_path = in_front(self.metadata_by_path)
        metadata = by_path[0] if by_path else self.metadata
        return replace(self, paths=in_front(self.paths), metadata_by_path=by_path, metadata=metadata)


class Space(NamedTuple):
    """The disk space used by the photos of one picture."""

    size_bytes: int
    """The size of each photo."""
    photos: int


class StoredPhoto(NamedTuple):
    """A photo file, as it was when it was indexed."""

    path: FilePath
    stamp: FileStamp
    folder: bytes | None
    """The folder below which the path must not contain links, or None if links are followed."""
    metadata: Metadata
    """The picture's own metadata, merged with metadata from sidecars and the file name."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture in the library, with its photos."""

    content_id: int
    digest: bytes
    size_bytes: int
    metadata: Metadata
    photos: tuple[StoredPhoto, ...]
    """The photos, sorted by path, with those whose files can be reached first. Never empty."""


@dataclass(frozen=True, slots=True)
class ScanRules:
    """The rules for scanning a folder."""

    hidden: bool = False
    """True to include hidden and system files and folders."""
    follow_links: bool = False
    exclude: tuple[str, ...] = ()
    """Gitignore patterns for paths to exclude, relative to the root."""
    ocr: bool = False
    """True to read the text in pictures with OCR."""

    def changed(
        self,
        *,
        hidden: bool | None = None,
        follow_links: bool | None = None,
        exclude: Sequence[str] | None = None,
        ocr: bool | None = None,
    ) -> ScanRules:
        """Return a copy of the rules with the given ones replaced."""
        return ScanRules(
            self.hidden if hidden is None else hidden,
            self.follow_links if follow_links is None else follow_links,
            self.exclude if exclude is None else tuple(exclude),
            self.ocr if ocr is None else ocr,
        )


@dataclass(frozen=True, slots=True)
class RootStatus:
    """The status of an indexed folder.

    The folder is offline if it is missing, or if it is empty but had photos before. Its photos are kept in the library.
    """

    path: FilePath
    online: bool
    photos: int
    rules: ScanRules
    not_read: Mapping[str, int] = field(default_factory=dict)
    """The number of files found by the last complete run that are not pictures, by suffix."""
    unread: int = 0
    """The number of pictures still waiting for OCR. 0 without `ScanRules.ocr`."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The status of the last indexer run."""

    started: datetime
    finished: datetime | None
    """The time at which the run finished, or None if it was interrupted or is still running."""
    encoded: int | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of photos, including everything below it."""

    path: bytes
    photos: int
    cover: int | None
    """The id of the most recently indexed picture, or None for a root without photos."""
    has_folders: bool
    online: bool


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The subfolders of a folder, or the roots of the library."""

    path: bytes | None
    """The folder, or None for a list of the roots."""
    parents: tuple[bytes, ...]
    """The parents of the folder, from the root down."""
    photos: int
    """The number of photos, including those in subfolders."""
    online: bool
    folders: tuple[Folder, ...]
    """The subfolders, sorted by name."""
    last: bytes | None
    """The name of the last subfolder in the list if more subfolders follow, otherwise None."""


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """The contents and state of a library."""

    library: str
    """The folder or URL of the library, without a password."""
    model: LibraryModel | None
    """The model used for searches."""
    switch: Switch | None
    """The unfinished switch to a different model, if any."""
    roots: tuple[RootStatus, ...]
    photos: int
    contents: int
    cut_short: int
    """The number of contents that could only be partially decoded."""
    failures: int
    texts: int
    """The number of texts that a search by photo can find."""
    text_files: tuple[Path, ...]
    """The text files that are indexed line by line."""
    vectors: str | None
    """The URL of the vector service, or None if the vectors are in a file."""
    pending: int
    """The number of contents with changes that must still be sent to the vector service."""
    database_bytes: int
    vectors_bytes: int
    size_bytes: int
    """The total size of the database and all files in the library's folder on this machine."""
    last_run: RunStatus | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or folder that could not be indexed, and the reason in one line."""

    path: FilePath
    reason: str
    when: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """A photo that could only be partially read, with a note about the problem."""

    path: FilePath
    note: str


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo with at least one caption."""

    path: FilePath
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextSource:
    """The source of a text: a line in a text file, numbered from 1, or the metadata of a photo."""

    path: FilePath
    line: int | None


@dataclass(frozen=True, slots=True)
class FoundText:
    """A text found by a search, with its similarity to the query and all its sources."""

    text: str
    similarity: float
    sources: tuple[TextSource, ...]


FileFacts = tuple[bytes, int, int, bytes | None]
"""The path of a file, its size in bytes, its modification time in ns, and the stamp of its sidecars.

This is a plain tuple because lists of a hundred thousand tuples are compared as a whole.
"""

KnownFile = tuple[bytes, int | None, int | None, bytes | None]
"""The `FileFacts` stored in the library.

If the size is None or negative, the file is read even if it has not changed.
"""

OUTDATED = b"?"
"""The value used in place of a photo's sidecar stamp if its metadata must be read again."""


class KnownTextFile(NamedTuple):
    """A text file as it was when it was last read."""

    stamp: FileStamp
    failed: bool
    """True if it could not be read."""


@dataclass(frozen=True, slots=True)
class NewContent:
    """An encoded picture that is not in the library yet."""

    digest: bytes
    size_bytes: int
    metadata: Metadata
    embedding: NDArray[np.float32]
    grid: bytes


class IndexedFile(NamedTuple):
    """A file and the digest of its content."""

    path: bytes
    stamp: FileStamp
    digest: bytes
    sidecars: bytes | None = None
    """The stamp of the sidecars."""
    beside: Mapping[Layer, Description] = MappingProxyType({})
    """The metadata from the sidecars and the file name."""
    metadata: Metadata | None = None
    """The metadata of the content, if it was read again and must be stored."""


class FailedFile(NamedTuple):
    """A file that could not be indexed.

    With a stamp, the file is retried only after it has changed. Without a stamp, it is retried in every run.
    """

    path: bytes
    stamp: FileStamp | None
    reason: str
