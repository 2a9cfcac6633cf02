"""Another model may be on its way: searches go by the old one until it has read every photo."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In SQL, since Alembic adds the constraint by itself, which SQLite cannot.
    op.execute(
        "ALTER TABLE vector_index ADD COLUMN target_id INTEGER"
        " CONSTRAINT fk_vector_index_target_id REFERENCES models (id)"
    )
