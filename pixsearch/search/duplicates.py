"""Find duplicate photos in a library: byte-identical copies and near-duplicates."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from io import BufferedReader, BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixsearch.errors import PictureError
from pixsearch.library.library import Library
from pixsearch.library.photo_files import open_photo
from pixsearch.library.records import Space, StoredPhoto, StoredPicture
from pixsearch.metadata import Metadata
from pixsearch.model.likeness import ALIKE, MAY_BE_ALIKE
from pixsearch.progress import Progress, ProgressCallback, silent
from pixsearch.search.runtime import Runtime
from pixsearch.storage import may_exist, path_bytes

_AT_ONCE = 256
_COMPARED = 8
"""The maximum number of groups, nearest first, with which a picture is compared cell by cell."""

Embeddings = NDArray[np.float32]
Likeness = Callable[[bytes, bytes], float]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """A group of photos that show the same picture."""

    pictures: tuple[StoredPicture, ...]
    """The pictures, best first: those with the most pixels, then those with a date, then those with the largest file.

    The photos of each picture are byte-identical copies: existing files come first, then those with the most metadata,
    then those with the shortest file name."""

    @property
    def count(self) -> int:
        """The number of photos."""
        return sum(len(picture.photos) for picture in self.pictures)

    @property
    def spare_bytes(self) -> int:
        """The total size of all photos except the best one."""
        sizes = (picture.size_bytes * len(picture.photos) for picture in self.pictures)
        return sum(sizes) - self.pictures[0].size_bytes


class Rank(NamedTuple):
    """The sort key of a group. It stays valid when other groups disappear."""

    minus_spare_bytes: int
    """The spare bytes, negated so that groups that waste the most space come first."""
    content_id: int
    """The content id of the best picture."""


@dataclass(frozen=True, slots=True)
class KnownDuplicates:
    """One page of the known groups of duplicates, with totals across all groups."""

    groups: tuple[Duplicates, ...]
    last: Rank | None
    """The rank of the last group on this page; None if this is the last page."""
    count: int
    """The total number of groups."""
    spare_bytes: int
    """The total size of all photos in all groups, except the best photo in each group."""
    has_alike: bool
    """True if near-duplicates are included."""


def copies(library: Library) -> list[Duplicates]:
    """Return the groups of byte-identical files, those that waste the most space first. Raises LibraryError."""
    return _sorted(_groups(library, [[content_id] for content_id in library.copied()]))


def near_duplicates(library: Library, runtime: Runtime, on_progress: ProgressCallback = silent) -> list[Duplicates]:
    """Return the groups of near-duplicates and copies, those that waste the most space first.

    Every picture in a group is a near-duplicate of the best one, by the same rule as in a search. The result is stored
    in the library, so pictures are compared again only after the library has changed.

    Raises LibraryError, or ModelMismatch if the library was indexed with a different model.
    """
    if (model := library.model()) is None:
        return []
    if model.fingerprint != runtime.fingerprint:
        raise library.mismatch(runtime.name, runtime.fingerprint)
    alike = library.near_duplicates(lambda: _alike(library, runtime.likeness, on_progress))
    return _sorted(_groups(library, _with_copies(library, alike)))


def known_duplicates(library: Library, after: Rank | None, most: int) -> KnownDuplicates:
    """Return at most `most` groups after a rank: copies, and near-duplicates that were found earlier.

    No pictures are compared. Counts, sizes and order come directly from the database and may include damaged
    records, which are omitted from the groups.

    Raises LibraryError.
    """
    alike = library.kept_near_duplicates()
    groups = _with_copies(library, alike or [])
    space = library.space_of([content_id for ids in groups for content_id in ids])
    ranked = sorted((rank, ids) for ids in groups if (rank := _rank(ids, space)) is not None)
    left = [(rank, ids) for rank, ids in ranked if after is None or rank > after]
    shown = left[:most]
    return KnownDuplicates(
        groups=tuple(_groups(library, [ids for _, ids in shown])),
        last=shown[-1][0] if len(left) > most else None,
        count=len(ranked),
        spare_bytes=-sum(rank.minus_spare_bytes for rank, _ in ranked),
        has_alike=alike is not None,
    )


def _rank(ids: Sequence[int], space: Mapping[int, Space]) -> Rank | None:
    """Return the rank of a group, or None if it has only one photo."""
    there = [space[content_id] for content_id in ids if content_id in space]
    if sum(one.photos for one in there) < 2:
        return None
    return Rank(there[0].size_bytes - sum(one.size_bytes * one.photos for one in there), ids[0])


def _with_copies(library: Library, alike: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Return the groups of near-duplicates, plus a group for each other picture that has copies."""
    alone = set(library.copied()).difference(*alike)
    return [*alike, *([content_id] for content_id in sorted(alone))]


def spare_copies(group: Duplicates) -> Iterator[StoredPhoto]:
    """Yield the photos of a group that can be deleted without losing anything.

    A photo can be deleted if the same drive has a byte-identical file for which the library stores all of the photo's
    metadata. Otherwise, metadata from a sidecar file or the file name could be lost. All files are read.

    Skip files that are missing or have changed, hard links, and objects in cloud storage. Also skip the only copy on a
    drive, because two drives may be one drive mounted under two paths.
    """
    for picture in group.pictures:
        kept: dict[int, StoredPhoto] = {}
        seen: dict[int, set[int]] = {}
        for photo in picture.photos:
            try:
                with open_photo(photo, picture.digest) as file:
                    if isinstance(file, BytesIO):
                        continue
                    drive, number = _drive_and_number(file)
            except PictureError:
                continue
            of_drive, best = seen.setdefault(drive, set()), kept.setdefault(drive, photo)
            if of_drive and number not in of_drive and _adds_nothing(photo.metadata, best.metadata):
                yield photo
            of_drive.add(number)


def _drive_and_number(file: BufferedReader) -> tuple[int, int]:
    """Return the device and inode numbers, which identify a file on this machine whatever its name is."""
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino


def _adds_nothing(metadata: Metadata, to: Metadata) -> bool:
    """Return whether `to` has all values of `metadata`."""
    values = ((getattr(metadata, field.name), getattr(to, field.name)) for field in fields(metadata))
    return all(not value or value == other for value, other in values)


def _groups(library: Library, groups: Sequence[Sequence[int]]) -> Iterator[Duplicates]:
    """Yield the pictures for each group of content ids, skipping groups with fewer than two photos left."""
    pictures = library.pictures([content_id for ids in groups for content_id in ids])
    for ids in groups:
        found = [_with_best_copy_first(pictures[content_id]) for content_id in ids if content_id in pictures]
        if sum(len(picture.photos) for picture in found) > 1:
            yield Duplicates(tuple(sorted(found, key=_best_picture_first)))


def _sorted(groups: Iterator[Duplicates]) -> list[Duplicates]:
    return sorted(groups, key=lambda group: (-group.spare_bytes, path_bytes(group.pictures[0].photos[0].path)))


def _best_picture_first(picture: StoredPicture) -> tuple[int, bool, int, bytes]:
    pixels, has_date = picture.metadata.pixels_and_date
    return -pixels, not has_date, -picture.size_bytes, path_bytes(picture.photos[0].path)


def _with_best_copy_first(picture: StoredPicture) -> StoredPicture:
    photos = tuple(sorted(picture.photos, key=_best_copy_first))
    return replace(picture, photos=photos, metadata=photos[0].metadata)


def _best_copy_first(photo: StoredPhoto) -> tuple[bool, int, int, bytes]:
    path = path_bytes(photo.path)
    known = sum(bool(getattr(photo.metadata, field.name)) for field in fields(photo.metadata))
    return not may_exist(photo.path), -known, len(path.rpartition(b"/")[2]), path


def _alike(library: Library, likeness: Likeness, on_progress: ProgressCallback) -> list[list[int]]:
    """Return the groups of two or more near-duplicates, as content ids."""
    vectors = dict[int, Embeddings]()
    for ids, part in library.vectors().parts():
        vectors.update(zip(ids.tolist(), part, strict=True))
    best_first = [content_id for content_id in library.best_first() if content_id in vectors]
    embeddings = np.stack([vectors[content_id] for content_id in best_first]) if best_first else np.empty((0, 1))
    found = grouped(best_first, np.asarray(embeddings, np.float32), library.grids, likeness, on_progress)
    return [group for group in found if len(group) > 1]


def grouped(
    best_first: Sequence[int],
    embeddings: Embeddings,
    grids_of: Callable[[Sequence[int]], Mapping[int, bytes]],
    likeness: Likeness,
    on_progress: ProgressCallback = silent,
) -> list[list[int]]:
    """Group pictures [n] with L2-normalised embeddings [n, size].

    Each picture joins the nearest group whose first picture is its near-duplicate, or starts a new group. Every picture
    in a group is therefore a near-duplicate of the best one, and a chain of small changes never joins two different
    pictures.
    """
    groups: list[list[int]] = []
    firsts = np.empty_like(embeddings)  # the embedding of the first picture of each group
    for start in range(0, len(best_first), _AT_ONCE):
        part = embeddings[start : start + _AT_ONCE]
        near = np.hstack([part @ firsts[: len(groups)].T, part @ part.T])  # [part, groups so far + part]
        before, group_of_part = len(groups), dict[int, int]()
        may_join = [np.flatnonzero(row[: before + index] >= MAY_BE_ALIKE) for index, row in enumerate(near)]
        nearest = [found[np.argsort(-row[found], kind="stable")] for found, row in zip(may_join, near, strict=True)]
        ids = best_first[start : start + _AT_ONCE]
        wanted = {ids[index] for index, found in enumerate(nearest) if len(found)}
        wanted |= {groups[one][0] for found in nearest for one in found[found < before][:_COMPARED].tolist()}
        wanted |= {ids[one - before] for found in nearest for one in found[found >= before].tolist()}
        grids = grids_of(sorted(wanted)) if wanted else {}
        for index, (content_id, found) in enumerate(zip(ids, nearest, strict=True)):
            # Within this batch, a picture can only join a picture that started a group.
            of_groups = (one if one < before else group_of_part.get(one - before) for one in found.tolist())
            candidates = [one for one in of_groups if one is not None][:_COMPARED]
            own = grids.get(content_id)
            for group in candidates:
                other = grids.get(groups[group][0])
                if own is not None and other is not None and likeness(own, other) >= ALIKE:
                    groups[group].append(content_id)
                    break
            else:
                group_of_part[index] = len(groups)
                firsts[len(groups)] = part[index]
                groups.append([content_id])
        on_progress(Progress("comparing pictures", start + len(part), len(best_first)))
    return groups
