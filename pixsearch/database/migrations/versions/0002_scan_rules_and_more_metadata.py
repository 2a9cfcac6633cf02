"""Add scan rules for roots, more metadata columns, and the model of the saved vector file."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("roots", sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("roots", sa.Column("follow_links", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("roots", sa.Column("exclude", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("contents", sa.Column("lens", sa.String(), nullable=True))
    op.add_column("contents", sa.Column("latitude", sa.Double(), nullable=True))
    op.add_column("contents", sa.Column("longitude", sa.Double(), nullable=True))
    op.add_column("contents", sa.Column("keywords", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("contents", sa.Column("share_decoded", sa.Double(), nullable=False, server_default="1"))
    op.create_index("ix_contents_size_bytes", "contents", ["size_bytes"], unique=False)
    op.add_column("vector_index", sa.Column("saved_model_id", sa.Integer(), nullable=True))
