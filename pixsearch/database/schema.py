"""The tables of a library.

roots           a folder specified for indexing
└── photos      a file below a root
    ├── postings        the search terms of a photo, derived from its other rows (see `postings`)
    ├── descriptions    the merged metadata of a photo, if a sidecar or the file name adds to its content's metadata
    └── contents        a picture, identified by the digest of its bytes; shared by copies and kept after renaming
        ├── features    the embedding of a picture from one model
        └── grids       the pixel grid of a picture from one model, stored separately to keep reading embeddings fast
failures        a file that could not be indexed, and the reason
models          a checkpoint that produced features
vector_index    a single row: the current model, the target of an unfinished switch, and the feature generation
vector_outbox   contents whose changed features have not yet been sent to the vector service
vector_files    the vector file last saved by each machine, and its generation
runs            a run of the indexer
texts           a distinct piece of text that can be found with a photo
├── text_features   the embedding of a text from one model
└── text_lines      a line with this text in one of the text_files; a text can also be a photo's title or caption

Every change to the schema requires a new revision in migrations/versions and a new SCHEMA_VERSION.
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

# SQLAlchemy Core instead of the ORM: pixsearch uses rows as plain values, and commands start 0.1 s faster without the
# ORM.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

EMBEDDING_TYPE = "<f4"
"""The NumPy dtype of stored embeddings: little-endian float32."""

LOOK_AGAIN = -1
"""The size stored for a photo or text file that the next run must reread, even if the file has not changed."""

# All paths are absolute and stored as bytes, because Linux file names may be invalid text.


def _checksum() -> Column[int]:
    """Return the checksum column, which must be the last column in a table. See `checksums`."""
    return Column("checksum", Integer, nullable=False, server_default="0")


ROOTS = Table(
    "roots",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("online", Boolean, nullable=False),
    # The rules for the last scan, which are reused for the next one: see `ScanRules`.
    Column("hidden", Boolean, nullable=False, server_default=false()),
    Column("follow_links", Boolean, nullable=False, server_default=false()),
    Column("exclude", JSON, nullable=False, server_default="[]"),
    Column("ocr", Boolean, nullable=False, server_default=false()),
    # The number of files that are not pictures, by suffix, as of the last complete run.
    Column("not_read", JSON, nullable=False, server_default="{}"),
    _checksum(),
)


def _metadata_columns() -> list[Column[Any]]:
    """Return the metadata columns shared by contents and descriptions."""
    return [
        Column("taken_at", String),  # ISO 8601, with a UTC offset only if the file contains one
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
        # The town in GeoNames nearest to the coordinates.
        Column("place", String),
    ]


CONTENTS = Table(
    "contents",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    # Looked up before a file is read: if no content has the same size, the file must be new.
    Column("size_bytes", BigInteger, nullable=False, index=True),
    Column("format", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    *_metadata_columns(),
    Column("share_decoded", Double, nullable=False, server_default="1"),
    # The lines of text in the picture; NULL if OCR has not been run on it.
    Column("writing", JSON(none_as_null=True)),
    _checksum(),
    # With AUTOINCREMENT, ids are never reused, so an id in an old vector file cannot refer to a different picture.
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
    # The names, sizes and modification times of the photo's sidecars; NULL if there are none.
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
    # UTF-8 bytes, which sort in the same order in every database regardless of collation.
    Column("term", LargeBinary, primary_key=True),
    Column("content_id", Integer, nullable=False),  # the content of the photo
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
    Column("grid_checksum", Integer, nullable=False, server_default="0"),  # of the matching row in `grids`
    _checksum(),
)

GRIDS = Table(
    "grids",
    METADATA,
    Column("content_id", ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("grid", LargeBinary, nullable=False),  # as packed by the model
)

FAILURES = Table(
    "failures",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("root_id", ForeignKey("roots.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("path", LargeBinary, nullable=False, unique=True),
    # The stamp of the file when it failed. If NULL, every run tries the file again.
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
    # Incremented whenever features change. A vector file is up to date only if it has the same generation.
    Column("generation", Integer, nullable=False),
    # The URL of the vector service (see `MilvusIndex`), or NULL if the vectors are in a file.
    Column("place", String),
    # The target model of an unfinished switch, during which searches use `model_id`: see `switching`.
    Column("target_id", ForeignKey("models.id")),
    _checksum(),
)

VECTOR_OUTBOX = Table(
    "vector_outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("content_id", Integer, nullable=False),  # the content may have been deleted
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
    Column("finished_at_s", Double),  # NULL if the run did not finish
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
    # Both are NULL unless the last attempt to read the file failed.
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
