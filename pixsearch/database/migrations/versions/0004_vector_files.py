"""Support a vector file per machine, vector services, and text of any length in PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vector_files",
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_vector_files")),
    )
    op.execute(
        "INSERT INTO vector_files (holder, generation, sha256, count, model_id) "
        "SELECT '', saved_generation, saved_sha256, saved_count, saved_model_id FROM vector_index "
        "WHERE saved_generation IS NOT NULL AND saved_sha256 IS NOT NULL AND saved_count IS NOT NULL "
        "AND saved_model_id IS NOT NULL"
    )
    with op.batch_alter_table("vector_index") as table:
        table.add_column(sa.Column("place", sa.String(), nullable=True))
        for column in ("saved_generation", "saved_sha256", "saved_count", "saved_model_id"):
            table.drop_column(column)
    op.create_table(
        "vector_outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vector_outbox")),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "postgresql":
        # B-trees in PostgreSQL are limited to values of 2,700 bytes. The writer ensures that texts are unique.
        op.drop_constraint(op.f("uq_texts_text"), "texts")
        op.create_index(op.f("ix_texts_text"), "texts", ["text"], postgresql_using="hash")
