"""The report of an indexing run."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixsearch.library.records import Switch
from pixsearch.storage import FilePath


@dataclass(slots=True)
class IndexReport:
    """The result of an indexing run, as numbers of files."""

    found: int = 0
    """Picture files that the run found."""
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    """New, moved, copied or touched files whose content was already encoded."""
    described: int = 0
    """Unchanged photos whose metadata was read again, because a sidecar or the rules for reading it changed."""
    forgotten: int = 0
    """Photos removed from the library because their files are gone."""
    failed: int = 0
    """Files and folders that failed, in this run or an earlier one; `Library.failures` lists them."""
    texts: int = 0
    """Encoded texts."""
    read: int = 0
    """Pictures whose text was read."""
    unreadable: tuple[str, ...] = ()
    """The pictures whose text could not be read, each with the reason on one line."""
    unread: int = 0
    """Pictures whose text has not been read yet."""
    not_read: dict[str, int] = field(default_factory=dict)
    """The number of files that are not pictures, by suffix; "" stands for files without a suffix."""
    kept: int = 0
    """Photos in offline folders, which stay in the library."""
    offline: tuple[FilePath, ...] = ()
    """Folders that do not exist, or that have no pictures although the library has photos from them."""
    switch: Switch | None = None
    """The switch to a different model, if the run could not finish it."""
