"""What a run of the indexer did."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixsearch.library.records import Switch
from pixsearch.storage import FilePath


@dataclass(slots=True)
class IndexReport:
    """What a run did, in files."""

    found: int = 0
    """Picture files seen."""
    unchanged: int = 0
    encoded: int = 0
    reused: int = 0
    """New, moved, copied or touched files with a content that was known: nothing was encoded for them."""
    described: int = 0
    """Unchanged photos whose metadata alone were read again: a file beside them changed, or the rules of reading."""
    forgotten: int = 0
    """Photos whose files are gone."""
    failed: int = 0
    """Files and folders that `Library.failures` now lists for these folders, tried in this run or not."""
    texts: int = 0
    """Texts that were encoded."""
    read: int = 0
    """Pictures that were read for text."""
    unreadable: tuple[str, ...] = ()
    """Which of these could not be read and why, a line each."""
    unread: int = 0
    """Pictures that are not yet read for text."""
    not_read: dict[str, int] = field(default_factory=dict)
    """Files that are no pictures, by suffix; without one by an empty name."""
    kept: int = 0
    """Photos of folders that are offline."""
    offline: tuple[FilePath, ...] = ()
    """Folders that were not there, or without any picture where photos are known."""
    switch: Switch | None = None
    """To another model, where the run could not finish it."""
