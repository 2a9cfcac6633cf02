"""Support switching models. Searches use the old model until all photos are encoded with the new one."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Raw SQL, because Alembic would add the constraint in a separate statement, which SQLite does not support.
    op.execute(
        "ALTER TABLE vector_index ADD COLUMN target_id INTEGER"
        " CONSTRAINT fk_vector_index_target_id REFERENCES models (id)"
    )
