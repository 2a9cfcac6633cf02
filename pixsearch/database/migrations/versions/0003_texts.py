"""Add texts that can be found with a photo. Existing titles and captions are copied into the new table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "text_files",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_text_files")),
        sa.UniqueConstraint("path", name=op.f("uq_text_files_path")),
    )
    op.create_table(
        "texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts")),
        sa.UniqueConstraint("text", name=op.f("uq_texts_text")),
    )
    op.create_table(
        "text_lines",
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_id"], ["text_files.id"], name=op.f("fk_text_lines_file_id_text_files"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_text_lines_text_id_texts")),
        sa.PrimaryKeyConstraint("file_id", "line", name=op.f("pk_text_lines")),
    )
    op.create_index(op.f("ix_text_lines_text_id"), "text_lines", ["text_id"], unique=False)
    op.create_table(
        "text_features",
        sa.Column("text_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_text_features_model_id_models"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["text_id"], ["texts.id"], name=op.f("fk_text_features_text_id_texts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("text_id", "model_id", name=op.f("pk_text_features")),
    )
    op.execute(
        "INSERT INTO texts (text) SELECT title FROM contents WHERE title IS NOT NULL "
        "UNION SELECT caption FROM contents WHERE caption IS NOT NULL"
    )
