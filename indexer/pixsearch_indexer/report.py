"""The report of a run of the indexer."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixsearch.library.records import Switch
from pixsearch.storage import FilePath


@dataclass(slots=True)
class IndexReport:
    """The result of a run, counted in files."""

    found: int = 0
    """Picture files seen."""
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    """New, moved, copied or touched files whose content was already encoded."""
    described: int = 0
    """Unchanged photos whose metadata alone were read again, because a sidecar or the rules for reading changed."""
    forgotten: int = 0
    """Photos whose files are gone."""
    failed: int = 0
    """Files and folders that `Library.failures` now lists for these folders, whether tried in this run or before."""
    texts: int = 0
    """Encoded texts."""
    read: int = 0
    """Pictures whose text was read."""
    unreadable: tuple[str, ...] = ()
    """The pictures that could not be read, each with the reason on one line."""
    unread: int = 0
    """Pictures whose text has not been read yet."""
    not_read: dict[str, int] = field(default_factory=dict)
    """Files that are not pictures, by suffix; "" stands for files without one."""
    kept: int = 0
    """Photos of folders that are offline."""
    offline: tuple[FilePath, ...] = ()
    """Folders that do not exist, or are empty although the library has photos of them."""
    switch: Switch | None = None
    """The switch to another model, if the run could not finish it."""
