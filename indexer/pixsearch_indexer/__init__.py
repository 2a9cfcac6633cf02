"""From folders of photos to a library: scan, decode, encode, store."""

from pixsearch.search.runtime import Encoder
from pixsearch_indexer.encoder import CheckpointEncoder
from pixsearch_indexer.pipeline import index_folder, index_folders
from pixsearch_indexer.report import IndexReport
from pixsearch_indexer.survey import Survey, survey

__all__ = ["CheckpointEncoder", "Encoder", "IndexReport", "Survey", "index_folder", "index_folders", "survey"]
