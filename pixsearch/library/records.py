"""What goes into the library and comes out of it, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pixsearch.database.state import LibraryModel
from pixsearch.metadata import Description, Layer, Metadata
from pixsearch.storage import FilePath, FileStamp

if TYPE_CHECKING:  # numpy takes 0.1 s, which a run that finds nothing new need not pay
    import numpy as np
    from numpy.typing import NDArray


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch to another model that is not finished. Contents of photos that are nowhere any more do not count."""

    model: LibraryModel
    """The new one."""
    to_encode: int
    """Contents that it has not read."""
    offline: int
    """How many of these are in folders alone that could not be reached."""
    seconds: float
    """An estimate of what all of them take."""
    searched: bool
    """Whether searches go by the new model already, since the old one is gone."""


class TimelinePart(NamedTuple):
    """Pictures that stand together in the timeline: of one day, or without a date in one folder."""

    day: str | None
    """As 2021-03-15."""
    folder: FilePath | None
    """Where the pictures without a date lie, if it is these."""
    first: int
    """The id of the picture that comes first."""
    pictures: int
    """How many there are."""


class TimelinePicture(NamedTuple):
    """One picture of the timeline."""

    content_id: int
    day: str | None
    """The day of its part."""
    folder: FilePath | None
    paths: tuple[FilePath, ...]
    """See `Candidate`; empty where the library's rows of the picture are damaged."""
    metadata: Metadata | None
    """Of the first of the paths."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture of the first stage, with all that a hit needs; what the second stage reads is `Library.grids`."""

    content_id: int
    paths: tuple[FilePath, ...]
    """Every photo with this content, never empty: photos that pass the filters come first, and among them photos that
    can be reached; then by name."""
    metadata: Metadata
    """Of the first of the paths."""
    embedding: NDArray[np.float32]
    metadata_by_path: tuple[Metadata, ...] = ()
    """Of each of the paths: copies of a picture may have different files beside them. Empty where all have the same."""
    passing: int = -1
    """How many of the paths pass the filters; below 0 all of them."""

    def photos(self) -> Iterator[tuple[FilePath, Metadata]]:
        """Yield the photos that pass the filters, each with what is known of it."""
        passing = len(self.paths) if self.passing < 0 else self.passing
        by_path = self.metadata_by_path or (self.metadata,) * len(self.paths)
        yield from zip(self.paths[:passing], by_path, strict=False)

    def shown_first(self, index: int) -> Candidate:
        """Return the candidate with another of its paths in front, the rest in their order."""
        if index == 0:
            return self

        def in_front(values: tuple[Value, ...]) -> tuple[Value, ...]:
            return (values[index], *values[:index], *values[index + 1 :]) if values else values

        by_path = in_front(self.metadata_by_path)
        metadata = by_path[0] if by_path else self.metadata
        return replace(self, paths=in_front(self.paths), metadata_by_path=by_path, metadata=metadata)


class Space(NamedTuple):
    """What the photos of one picture take."""

    size_bytes: int
    """Of each."""
    photos: int


class StoredPhoto(NamedTuple):
    """A file that held a picture when it was read."""

    path: FilePath
    stamp: FileStamp
    folder: bytes | None
    """The folder below which it has to be reached without a link; None where that folder's links are followed."""
    metadata: Metadata
    """The picture's own, with what a file beside this one or its name adds."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One picture of the library, and the photos that hold it."""

    content_id: int
    digest: bytes
    size_bytes: int
    metadata: Metadata
    photos: tuple[StoredPhoto, ...]
    """Those that can be reached first, then by name. Never empty."""


@dataclass(frozen=True, slots=True)
class ScanRules:
    """What of a folder is looked at."""

    hidden: bool = False
    """Hidden and system files and folders too."""
    follow_links: bool = False
    exclude: tuple[str, ...] = ()
    """gitignore patterns, relative to the root."""
    ocr: bool = False
    """Pictures are read for text."""

    def changed(
        self,
        *,
        hidden: bool | None = None,
        follow_links: bool | None = None,
        exclude: Sequence[str] | None = None,
        ocr: bool | None = None,
    ) -> ScanRules:
        """These rules, but for what is given."""
        return ScanRules(
            self.hidden if hidden is None else hidden,
            self.follow_links if follow_links is None else follow_links,
            self.exclude if exclude is None else tuple(exclude),
            self.ocr if ocr is None else ocr,
        )


@dataclass(frozen=True, slots=True)
class RootStatus:
    """One indexed folder. Offline: not there, or empty where photos are known; its photos are kept."""

    path: FilePath
    online: bool
    photos: int
    rules: ScanRules
    not_read: Mapping[str, int] = field(default_factory=dict)
    """By suffix, how many files its last whole run found that are no pictures."""
    unread: int = 0
    """Pictures in it that are still to be read for text, where it wants that."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The last run of the indexer."""

    started: datetime
    finished: datetime | None
    """None where it was stopped, or is at work."""
    encoded: int | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of photos, all that lies below it included."""

    path: bytes
    photos: int
    cover: int | None
    """The id of the picture of the photo in it that was indexed last; None for a root without any."""
    has_folders: bool
    online: bool


@dataclass(frozen=True, slots=True)
class FolderListing:
    """What is in a folder."""

    path: bytes | None
    """None for the roots of a library that has none or several."""
    parents: tuple[bytes, ...]
    """The folders that it lies in, from a root on."""
    photos: int
    """Also those of its subfolders."""
    online: bool
    folders: tuple[Folder, ...]
    """By name."""
    last: bytes | None
    """The name of the last of these; None where there are no more."""


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """What a library holds."""

    library: str
    """Where it is."""
    model: LibraryModel | None
    """Whose features are searched."""
    switch: Switch | None
    """To another one, where it is not finished."""
    roots: tuple[RootStatus, ...]
    photos: int
    contents: int
    cut_short: int
    """Contents of which only a part could be decoded."""
    failures: int
    texts: int
    """Which a photo may find."""
    text_files: tuple[Path, ...]
    """Whose lines are among them."""
    vectors: str | None
    """The URL of the service that holds them; None where they are in a file."""
    pending: int
    """Contents whose changes are still to be sent there."""
    database_bytes: int
    vectors_bytes: int
    size_bytes: int
    """Of the database, and of all files in the library's folder on this machine."""
    last_run: RunStatus | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A file (or a folder) that could not be indexed, and why, in one line."""

    path: FilePath
    reason: str
    when: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """A photo of whose metadata something could not be read, and what."""

    path: FilePath
    note: str


@dataclass(frozen=True, slots=True)
class CaptionedPhoto:
    """A photo that somebody described. `captions` is never empty."""

    path: FilePath
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextSource:
    """Where a text stands: in a line of a file, from 1, or in the metadata of a photo."""

    path: FilePath
    line: int | None


@dataclass(frozen=True, slots=True)
class FoundText:
    """A text, how near it is, and everywhere it stands."""

    text: str
    similarity: float
    sources: tuple[TextSource, ...]


FileFacts = tuple[bytes, int, int, bytes | None]
"""Path, size in bytes and time of change in ns of a file, and the stamp of its sidecars. A bare tuple, since lists of
them by the hundred thousand are compared as a whole."""

KnownFile = tuple[bytes, int | None, int | None, bytes | None]
"""The same as the library knows it. Without a size, or with one below 0: to be looked at even if it did not change."""

OUTDATED = b"?"
"""In place of the stamp of a photo's sidecars: its metadata are to be read again."""


class KnownTextFile(NamedTuple):
    """A file of texts as it was when it was looked at last."""

    stamp: FileStamp
    failed: bool
    """Whether it is a failure: it could not be read."""


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
    sidecars: bytes | None = None
    """The stamp of the files beside it that say something about it."""
    beside: Mapping[Layer, Description] = MappingProxyType({})
    """What those files and its name say."""
    metadata: Metadata | None = None
    """What its content says, where that was read again and is to be stored."""


class FailedFile(NamedTuple):
    """A file that could not be indexed. With a stamp it is tried again only when it changed, without one every time."""

    path: bytes
    stamp: FileStamp | None
    reason: str
