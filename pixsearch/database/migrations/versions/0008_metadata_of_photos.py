"""Add per-photo metadata, people, ratings and locations, and the number of files skipped in each root."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("roots", sa.Column("not_read", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("contents", sa.Column("date_kind", sa.String(), nullable=True))
    for column in _new_columns():
        op.add_column("contents", column)
    op.add_column("photos", sa.Column("sidecars", sa.LargeBinary(), nullable=True))
    op.add_column("photos", sa.Column("metadata_version", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "descriptions",
        sa.Column("photo_id", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.String(), nullable=True),
        sa.Column("date_kind", sa.String(), nullable=True),
        sa.Column("camera", sa.String(), nullable=True),
        sa.Column("lens", sa.String(), nullable=True),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("caption", sa.String(), nullable=True),
        sa.Column("keywords", sa.JSON(), nullable=False, server_default="[]"),
        *_new_columns(),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.id"], name="fk_descriptions_photo_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("photo_id", name="pk_descriptions"),
    )
    # More picture formats are supported, so the next run retries files that older versions could not read.
    op.execute("UPDATE failures SET size_bytes = NULL, mtime_ns = NULL")


def _new_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("people", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
    ]
