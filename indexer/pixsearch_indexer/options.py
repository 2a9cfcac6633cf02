"""The options of a run of the indexer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixsearch.library.records import ScanRules
from pixsearch.picture_files import MEGAPIXEL_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """The options of a run. None leaves a scan rule as it was in the folder's last run; see `ScanRules`."""

    switch_model: bool = False
    """True to encode every photo again if the library holds features of another model.

    Later runs resume the switch. While the other model is available, searches use it until all photos in reach are
    encoded.
    """
    hidden: bool | None = None
    follow_links: bool | None = None
    exclude: Sequence[str] | None = None
    ocr: bool | None = None
    max_megapixels: int = MEGAPIXEL_LIMIT
    """Larger pictures are recorded as failures without being decoded."""
    vectors: str | None = None
    """The vector store from now on: the URL of a service (`milvus+http://host:19530/photos`), or "file"."""

    def changed_rules(self, rules: ScanRules) -> ScanRules:
        """Return the rules of a folder with the changes that these options make."""
        return rules.changed(hidden=self.hidden, follow_links=self.follow_links, exclude=self.exclude, ocr=self.ocr)
