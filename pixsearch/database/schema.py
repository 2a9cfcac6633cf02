"""The tables of a library.

roots           a folder that was given to be indexed
└── photos      one file under a root
    ├── postings        the terms that find one photo: derived from its other rows, see `postings`
    ├── descriptions    the merged metadata of one photo, if a sidecar or its name adds to those of its content
    └── contents        one picture by the digest of its bytes: copies share it, a renamed photo keeps it
        ├── features    its embedding, by one model
        └── grids       its pixel grid, by one model; apart, so that reading embeddings never touches them
failures        a file that could not be indexed, and why
models          a checkpoint that made features
vector_index    one row: the model in use, the model of an unfinished switch, and the generation of the features
vector_outbox   contents whose features changed, still to be sent to a vector service
vector_files    the vector file that each machine saved last, and its generation
runs            each run of the indexer
texts           a text that a photo may find, stored once however often it occurs
├── text_features   its embedding, by one model
└── text_lines      a line with it in one of the text_files; it may be a photo's title or caption as well

A change here is a new revision in migrations/versions and a new SCHEMA_VERSION.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    false,
)

SCHEMA_VERSION = "0011"

# Tables of SQLAlchemy Core, not classes of its ORM: rows are plain values here, and without the ORM a command starts
# 0.1 s sooner.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

EMBEDDING_TYPE = "<f4"
"""The numpy type of a stored embedding: float32, little-endian."""

LOOK_AGAIN = -1
"""The size stored for a photo or text file that the next run must read, even if its stamp has not changed."""

# Every path is absolute and stored as bytes: on Linux a file's name need not be valid text.


def _checksum() -> Column[int]:
    """Return the column of a row's checksum, the last of a table: see `checksums`."""
    return Column("checksum", Integer, nullable=False, server_default="0")


ROOTS = Table(
    "roots",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("online", Boolean, nullable=False),
    # The rules of the last scan, which the next one uses too: see `ScanRules`.
    Column("hidden", Boolean, nullable=False, server_default=false()),
    Column("follow_links", Boolean, nullable=False, server_default=false()),
    Column("exclude", JSON, nullable=False, server_default="[]"),
    Column("ocr", Boolean, nullable=False, server_default=false()),
    # The number of files that are not pictures in its last complete run, by suffix.
    Column("not_read", JSON, nullable=False, server_default="{}"),
    _checksum(),
)


def _metadata_columns() -> list[Column[Any]]:
    """Return the metadata columns that contents and descriptions have in common."""
    return [
        Column("taken_at", String),  # ISO 8601, with an offset only if the file has one
        Column("date_kind", String),
        Column("camera", String),
        Column("lens", String),
        Column("latitude", Double),
        Column("longitude", Double),
        Column("title", String),
        Column("caption", String),
        Column("keywords", JSON, nullable=False, server_default="[]"),
        Column("people", JSON, nullable=False, server_default="[]"),
        Column("rating", Integer),
        Column("location", String),
        Column("note", String),
        # The nearest town in GeoNames to the coordinates.
        Column("place", String),
    ]


CONTENTS = Table(
    "contents",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # Looked up before anything is read: a file of a size that no content has must be new.
    Column("size_bytes", BigInteger, nullable=False, index=True),
    Column("format", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    *_metadata_columns(),
    Column("share_decoded", Double, nullable=False, server_default="1"),
    # The lines of text in the picture; NULL until it has been read for text.
    Column("writing", JSON(none_as_null=True)),
    _checksum(),
    # AUTOINCREMENT: ids are never reused, so that one in an old vector file cannot name another picture.
    sqlite_autoincrement=True,
)

PHOTOS = Table(
    "photos",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("root_id", ForeignKey("roots.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("content_id", ForeignKey("contents.id"), nullable=False, index=True),
    # The names, sizes and times of its sidecars; NULL if there are none.
    Column("sidecars", LargeBinary),
    # See METADATA_VERSION.
    Column("metadata_version", Integer, nullable=False, server_default="0"),
    _checksum(),
)

DESCRIPTIONS = Table(
    "descriptions",
    METADATA,
    Column("photo_id", ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    *_metadata_columns(),  # merged from all sources
    _checksum(),
)

POSTINGS = Table(
    "postings",
    METADATA,
    Column("photo_id", ForeignKey("photos.id", ondelete="CASCADE"), primary_key=True),
    # UTF-8 as bytes, which every database sorts alike, whatever its collation.
    Column("term", LargeBinary, primary_key=True),
    Column("content_id", Integer, nullable=False),  # the photo's
    Index("ix_postings_term_content_id", "term", "content_id"),
    sqlite_with_rowid=False,
)

MODELS = Table(
    "models",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("fingerprint", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("embedding_size", Integer, nullable=False),
    _checksum(),
)

FEATURES = Table(
    "features",
    METADATA,
    Column("content_id", ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("embedding", LargeBinary, nullable=False),  # of EMBEDDING_TYPE
    Column("grid_checksum", Integer, nullable=False, server_default="0"),  # of the grid beside it
    _checksum(),
)

GRIDS = Table(
    "grids",
    METADATA,
    Column("content_id", ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("grid", LargeBinary, nullable=False),  # as the model packed it
)

FAILURES = Table(
    "failures",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("root_id", ForeignKey("roots.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    # The stamp of the file that failed; without one it is tried again in every run.
    Column("size_bytes", BigInteger),
    Column("mtime_ns", BigInteger),
    Column("reason", String, nullable=False),
    Column("failed_at_s", Double, nullable=False),
    _checksum(),
)

VECTOR_INDEX = Table(
    "vector_index",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", ForeignKey("models.id")),
    # Grows with every change of the features. A vector file is current only if it was saved at this generation.
    Column("generation", Integer, nullable=False),
    # The URL of a vector service, or NULL if the vectors are in a file: see `MilvusIndex`.
    Column("place", String),
    # The model that the library is being switched to while searches still use the other: see `switching`.
    Column("target_id", ForeignKey("models.id")),
    _checksum(),
)

VECTOR_OUTBOX = Table(
    "vector_outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("content_id", Integer, nullable=False),  # it may have been deleted
    sqlite_autoincrement=True,
)

VECTOR_FILES = Table(
    "vector_files",
    METADATA,
    Column("holder", String, primary_key=True),  # see `Database.holder`
    Column("generation", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("count", Integer, nullable=False),
    Column("model_id", Integer, nullable=False),
)

RUNS = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("started_at_s", Double, nullable=False),
    Column("finished_at_s", Double),  # NULL if the run was stopped
    Column("found", Integer),
    Column("unchanged", Integer),
    Column("encoded", Integer),
    Column("reused", Integer),
    Column("forgotten", Integer),
    Column("failed", Integer),
    _checksum(),
)

TEXT_FILES = Table(
    "text_files",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    # NULL, both of them, unless the last attempt to read it failed.
    Column("reason", String),
    Column("failed_at_s", Double),
    _checksum(),
)

TEXTS = Table(
    "texts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("text", String, nullable=False, unique=True),
    _checksum(),
)

TEXT_LINES = Table(
    "text_lines",
    METADATA,
    Column("file_id", ForeignKey("text_files.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),  # from 1
    Column("text_id", ForeignKey("texts.id"), nullable=False, index=True),
    _checksum(),
)

TEXT_FEATURES = Table(
    "text_features",
    METADATA,
    Column("text_id", ForeignKey("texts.id", ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("embedding", LargeBinary, nullable=False),  # of EMBEDDING_TYPE
    _checksum(),
)
