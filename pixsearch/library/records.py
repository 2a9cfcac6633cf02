"""The plain data that goes into a library and comes out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.storage import FilePath, FileStamp

if TYPE_CHECKING:  # numpy takes 0.1 s, which a run that finds nothing new need not pay
    import numpy as np
    from numpy.typing import NDArray

    from pixsearch.database.state import LibraryModel


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Switch:
    """An unfinished switch to another model. Contents without photos do not count."""

    model: LibraryModel
    """The new model."""
    to_encode: int
    """The number of contents that it has not encoded yet."""
    offline: int
    """The number of these that are only in offline folders."""
    seconds: float
    """An estimate of the time to encode all of them."""
    searched: bool
    """True if searches already use the new model, since the old one is gone."""


class TimelinePart(NamedTuple):
    """Adjacent pictures in the timeline: from one day, or without a date in one folder."""

    day: str | None
    """The day, such as 2021-03-15, or None for pictures without a date."""
    folder: FilePath | None
    """The folder of pictures without a date, else None."""
    first: int
    """The id of the first picture."""
    pictures: int
    """The number of pictures."""


class TimelinePicture(NamedTuple):
    """One picture of the timeline."""

    content_id: int
    day: str | None
    """The day of its `TimelinePart`."""
    folder: FilePath | None
    paths: tuple[FilePath, ...]
    """The paths, as in `Candidate`; empty if the library's rows of the picture are damaged."""
    metadata: Metadata | None
    """The metadata of the first path."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture of the first stage, with all that a hit needs. The second stage reads `Library.grids` as well."""

    content_id: int
    paths: tuple[FilePath, ...]
    """All photos with this content, never empty: those that pass the filters first, then those in online folders, then
    by path."""
    metadata: Metadata
    """The metadata of the first path."""
    embedding: NDArray[np.float32]
    metadata_by_path: tuple[Metadata, ...] = ()
    """The metadata of each path: copies of a picture may have different sidecars. Empty if all are the same."""
    passing: int = -1
    """The number of paths that pass the filters; below 0, all of them."""

    def photos(self) -> Iterator[tuple[FilePath, Metadata]]:
        """Yield the photos that pass the filters, each with its metadata."""
        passing = len(self.paths) if self.passing < 0 else self.passing
        by_path = self.metadata_by_path or (self.metadata,) * len(self.paths)
        yield from zip(self.paths[:passing], by_path, strict=False)

    def shown_first(self, index: int) -> Candidate:
        """Return the candidate with the path at an index moved to the front."""
        if index == 0:
            return self

        def in_front(values: tuple[Value, ...]) -> tuple[Value, ...]:
            return (values[index], *values[:index], *values[index + 1 :]) if values else values

        by_path = in_front(self.metadata_by_path)
        metadata = by_path[0] if by_path else self.metadata
        return replace(self, paths=in_front(self.paths), metadata_by_path=by_path, metadata=metadata)


class Space(NamedTuple):
    """The disk space that the photos of one picture take."""

    size_bytes: int
    """The size of each photo."""
    photos: int


class StoredPhoto(NamedTuple):
    """A file that held a picture when it was read."""

    path: FilePath
    stamp: FileStamp
    folder: bytes | None
    """The folder below which the path must not contain a link; None if that folder's links are followed."""
    metadata: Metadata
    """The picture's own metadata, with additions from sidecars and the file's name."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One picture of the library and its photos."""

    content_id: int
    digest: bytes
    size_bytes: int
    metadata: Metadata
    photos: tuple[StoredPhoto, ...]
    """The photos, those that can be reached first, then by path. Never empty."""


@dataclass(frozen=True, slots=True)
class ScanRules:
    """The rules by which a folder is scanned."""

    hidden: bool = False
    """True to include hidden and system files and folders."""
    follow_links: bool = False
    exclude: tuple[str, ...] = ()
    """Patterns of paths to leave out, as in gitignore, relative to the root."""
    ocr: bool = False
    """True to read the text in pictures."""

    def changed(
        self,
        *,
        hidden: bool | None = None,
        follow_links: bool | None = None,
        exclude: Sequence[str] | None = None,
        ocr: bool | None = None,
    ) -> ScanRules:
        """Return these rules with some of them replaced."""
        return ScanRules(
            self.hidden if hidden is None else hidden,
            self.follow_links if follow_links is None else follow_links,
            self.exclude if exclude is None else tuple(exclude),
            self.ocr if ocr is None else ocr,
        )


@dataclass(frozen=True, slots=True)
class RootStatus:
    """One indexed folder. It is offline if it is missing, or empty though it had photos; its photos are kept."""

    path: FilePath
    online: bool
    photos: int
    rules: ScanRules
    not_read: Mapping[str, int] = field(default_factory=dict)
    """The number of files that are not pictures in its last complete run, by suffix."""
    unread: int = 0
    """The number of pictures whose text is still to be read; 0 without `ScanRules.ocr`."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The last run of the indexer."""

    started: datetime
    finished: datetime | None
    """The time it finished; None if it was stopped or is still running."""
    encoded: int | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of photos, including everything below it."""

    path: bytes
    photos: int
    cover: int | None
    """The id of the picture indexed last; None for a root without photos."""
    has_folders: bool
    online: bool


@dataclass(frozen=True, slots=True)
class FolderListing:
    """The contents of a folder."""

    path: bytes | None
    """The folder; None for the list of roots, if the library has none or several."""
    parents: tuple[bytes, ...]
    """The folders that contain it, from the root down."""
    photos: int
    """The number of photos, including those in subfolders."""
    online: bool
    folders: tuple[Folder, ...]
    """The subfolders, by name."""
    last: bytes | None
    """The name of the last subfolder listed, if there are more; else None."""


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """The contents and state of a library."""

    library: str
    """The folder or URL of the library, without a password."""
    model: LibraryModel | None
    """The model whose features are searched."""
    switch: Switch | None
    """An unfinished switch to another model."""
    roots: tuple[RootStatus, ...]
    photos: int
    contents: int
    cut_short: int
    """The number of contents that could be decoded only in part."""
    failures: int
    texts: int
    """The number of texts that a photo may find."""
    text_files: tuple[Path, ...]
    """The files that were indexed for their lines."""
    vectors: str | None
    """The URL of the service that holds the vectors; None if they are in a file."""
    pending: int
    """The number of contents whose changes are still to be sent to that service."""
    database_bytes: int
    vectors_bytes: int
    size_bytes: int
    """The size of the database and of all files in the library's folder on this machine."""
    last_run: RunStatus | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file or folder that could not be indexed, and the reason in one line."""

    path: FilePath
    reason: str
    when: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """A photo that was read only in part, and what could not be read."""

    path: FilePath
    note: str


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo with captions, of which there is at least one."""

    path: FilePath
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextSource:
    """The source of a text: a line of a file, from 1, or the metadata of a photo."""

    path: FilePath
    line: int | None


@dataclass(frozen=True, slots=True)
class FoundText:
    """A text, its similarity to the query, and all its sources."""

    text: str
    similarity: float
    sources: tuple[TextSource, ...]


FileFacts = tuple[bytes, int, int, bytes | None]
"""The path of a file, its size in bytes, its modification time in ns, and the stamp of its sidecars. A plain tuple,
since lists of a hundred thousand of them are compared as a whole."""

KnownFile = tuple[bytes, int | None, int | None, bytes | None]
"""The `FileFacts` that the library has stored. A file without a size, or with one below 0, is read even if it has not
changed."""

OUTDATED = b"?"
"""The value instead of the stamp of a photo's sidecars if its metadata are to be read again."""


class KnownTextFile(NamedTuple):
    """A text file as it was when it was last read."""

    stamp: FileStamp
    failed: bool
    """True if it could not be read."""


@dataclass(frozen=True, slots=True)
class NewContent:
    """An encoded picture that the library does not have yet."""

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
    """The stamp of its sidecars."""
    beside: Mapping[Layer, Description] = MappingProxyType({})
    """The metadata from its sidecars and its name."""
    metadata: Metadata | None = None
    """The metadata of its content, if they were read again and are to be stored."""


class FailedFile(NamedTuple):
    """A file that could not be indexed. With a stamp it is retried only after it changes; without one, in every run."""

    path: bytes
    stamp: FileStamp | None
    reason: str
