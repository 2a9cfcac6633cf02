"""Record the reason if a text file cannot be read, as for photos."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("text_files", sa.Column("reason", sa.String(), nullable=True))
    op.add_column("text_files", sa.Column("failed_at_s", sa.Double(), nullable=True))
