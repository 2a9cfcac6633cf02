"""The options for an indexing run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixsearch.library.records import ScanRules
from pixsearch.picture_files import MEGAPIXEL_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """The options for an indexing run. If a scan rule is None, the folder's last one applies; see `ScanRules`."""

    switch_model: bool = False
    """True to encode every photo again if the library contains features from a different model.

    Later runs resume an interrupted switch. If the old model is still available, searches use it until all reachable
    photos are encoded.
    """
    hidden: bool | None = None
    follow_links: bool | None = None
    exclude: Sequence[str] | None = None
    ocr: bool | None = None
    max_megapixels: int = MEGAPIXEL_LIMIT
    """The maximum size of a picture. Larger ones are recorded as failures without being decoded."""
    vectors: str | None = None
    """The vector store to switch to: the URL of a service (`milvus+http://host:19530/photos`) or "file"."""

    def changed_rules(self, rules: ScanRules) -> ScanRules:
        """Return a folder's rules with these options applied."""
        return rules.changed(hidden=self.hidden, follow_links=self.follow_links, exclude=self.exclude, ocr=self.ocr)
