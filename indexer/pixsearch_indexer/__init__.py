"""Scan folders of photos, decode and encode the photos, and store the results in a library."""

from pixsearch.search.runtime import Encoder
from pixsearch_indexer.encoder import CheckpointEncoder
from pixsearch_indexer.options import IndexOptions
from pixsearch_indexer.pipeline import index_folder, index_folders
from pixsearch_indexer.report import IndexReport
from pixsearch_indexer.survey import Survey, survey

__all__ = [
    "CheckpointEncoder",
    "Encoder",
    "IndexOptions",
    "IndexReport",
    "Survey",
    "index_folder",
    "index_folders",
    "survey",
]
