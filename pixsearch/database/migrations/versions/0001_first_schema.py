"""Create the initial schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.String(), nullable=True),
        sa.Column("camera", sa.String(), nullable=True),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("caption", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_contents"),
        sa.UniqueConstraint("digest", name="uq_contents_digest"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("embedding_size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("fingerprint", name="uq_models_fingerprint"),
    )
    op.create_table(
        "roots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_roots"),
        sa.UniqueConstraint("path", name="uq_roots_path"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("started_at_s", sa.Double(), nullable=False),
        sa.Column("finished_at_s", sa.Double(), nullable=True),
        sa.Column("found", sa.Integer(), nullable=True),
        sa.Column("unchanged", sa.Integer(), nullable=True),
        sa.Column("encoded", sa.Integer(), nullable=True),
        sa.Column("reused", sa.Integer(), nullable=True),
        sa.Column("forgotten", sa.Integer(), nullable=True),
        sa.Column("failed", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_table(
        "failures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("failed_at_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name="fk_failures_root_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_failures"),
        sa.UniqueConstraint("path", name="uq_failures_path"),
    )
    op.create_index("ix_failures_root_id", "failures", ["root_id"], unique=False)
    op.create_table(
        "features",
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["contents.id"], name="fk_features_content_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_features_model_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("content_id", "model_id", name="pk_features"),
    )
    op.create_table(
        "grids",
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("grid", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["contents.id"], name="fk_grids_content_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_grids_model_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("content_id", "model_id", name="pk_grids"),
    )
    op.create_table(
        "photos",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["contents.id"], name="fk_photos_content_id"),
        sa.ForeignKeyConstraint(["root_id"], ["roots.id"], name="fk_photos_root_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_photos"),
        sa.UniqueConstraint("path", name="uq_photos_path"),
    )
    op.create_index("ix_photos_content_id", "photos", ["content_id"], unique=False)
    op.create_index("ix_photos_root_id", "photos", ["root_id"], unique=False)
    op.create_table(
        "vector_index",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("saved_generation", sa.Integer(), nullable=True),
        sa.Column("saved_sha256", sa.String(), nullable=True),
        sa.Column("saved_count", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_vector_index_model_id"),
        sa.PrimaryKeyConstraint("id", name="pk_vector_index"),
    )
    op.execute("INSERT INTO vector_index (id, generation) VALUES (1, 0)")
