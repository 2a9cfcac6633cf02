"""From folders of photos to a library: scan, decode, encode, store."""

from pixsearch_indexer.encoder import Encoder
from pixsearch_indexer.pipeline import IndexReport, index_folders

__all__ = ["Encoder", "IndexReport", "index_folders"]
