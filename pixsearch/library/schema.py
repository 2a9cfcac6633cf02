"""The tables of library.db.

roots           a folder that was given to be indexed
└── photos      one file under a root
    └── contents        one picture by the digest of its bytes: copies share it, a renamed photo keeps it
        ├── features    its embedding, by one model
        └── grids       its pixel grid, by one model; apart, so that reading embeddings never touches them
failures        a file that could not be indexed, and why
models          a checkpoint that made features
vector_index    one row: which model is in use, and which vector file belongs to which state of the features
runs            each run of the indexer

A change here is a new revision in migrations/versions and a new SCHEMA_VERSION.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, ForeignKey, MetaData, false
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA_VERSION = "0002"
LOOK_AGAIN = -1


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Root(Base):
    __tablename__ = "roots"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[bytes] = mapped_column(unique=True)
    """Absolute, as bytes: on Linux a file's name need not be valid text. The same holds for every path here."""
    online: Mapped[bool]
    hidden: Mapped[bool] = mapped_column(default=False, server_default=false())
    """With the two that follow, what `ScanRules` says: how this root was last scanned, and will be the next time."""
    follow_links: Mapped[bool] = mapped_column(default=False, server_default=false())
    exclude: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")


class Content(Base):
    __tablename__ = "contents"
    # AUTOINCREMENT: an id is never given twice, so one that an old vector file still names can lead to nothing wrong.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger, index=True)
    """Looked up before anything is decoded: a file of a size that no content has cannot be known."""
    format: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    taken_at: Mapped[str | None]
    """ISO 8601, with an offset only where the file names one."""
    camera: Mapped[str | None]
    lens: Mapped[str | None]
    latitude: Mapped[float | None]
    longitude: Mapped[float | None]
    title: Mapped[str | None]
    caption: Mapped[str | None]
    keywords: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    share_decoded: Mapped[float] = mapped_column(default=1.0, server_default="1")


class Photo(Base):
    __tablename__ = "photos"

    id: Mapped[int] = mapped_column(primary_key=True)
    root_id: Mapped[int] = mapped_column(ForeignKey("roots.id", ondelete="CASCADE"), index=True)
    path: Mapped[bytes] = mapped_column(unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    """-1 (`LOOK_AGAIN`) where the next run must read the file, whatever its stamp is."""
    mtime_ns: Mapped[int] = mapped_column(BigInteger)
    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id"), index=True)


class Model(Base):
    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    embedding_size: Mapped[int]


class Features(Base):
    __tablename__ = "features"

    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    embedding: Mapped[bytes]
    """float32, little-endian."""


class Grid(Base):
    __tablename__ = "grids"

    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id", ondelete="CASCADE"), primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    grid: Mapped[bytes]
    """As the model packed it."""


class Failed(Base):
    __tablename__ = "failures"

    id: Mapped[int] = mapped_column(primary_key=True)
    root_id: Mapped[int] = mapped_column(ForeignKey("roots.id", ondelete="CASCADE"), index=True)
    path: Mapped[bytes] = mapped_column(unique=True)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Size and mtime of the file that failed; without them it is tried again in every run."""
    mtime_ns: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str]
    failed_at_s: Mapped[float]


class VectorFile(Base):
    __tablename__ = "vector_index"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    generation: Mapped[int]
    """Grows with every change of the features. The file is right only when it was saved at this very one."""
    saved_generation: Mapped[int | None]
    saved_sha256: Mapped[str | None]
    saved_count: Mapped[int | None]
    saved_model_id: Mapped[int | None]
    """Of the model whose vectors are in the file."""


class Run(Base):
    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(primary_key=True)
    started_at_s: Mapped[float]
    finished_at_s: Mapped[float | None]
    """Empty where the run was stopped."""
    found: Mapped[int | None]
    unchanged: Mapped[int | None]
    encoded: Mapped[int | None]
    reused: Mapped[int | None]
    forgotten: Mapped[int | None]
    failed: Mapped[int | None]
